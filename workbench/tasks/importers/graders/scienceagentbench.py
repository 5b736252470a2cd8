"""Grade a task of ScienceAgentBench: upstream's own evaluation of the file that was to be made.

It is run as upstream does, from a folder that holds ``pred_results`` and ``benchmark``. Its own options are in
``task.json``: the script, and the file it looks at. A script that has a figure judged finds, in the place of upstream's
``gpt4_visual_judge``, one that puts upstream's question to the judge.
"""

import ast
import base64
import importlib.util
import json
import os
import re
import sys
import tempfile
import types
from pathlib import Path

from workbench_grading import Invalid, ask_judge

PLAIN = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}
"""What a pickle may name: data, nothing that can be called to any other end."""
JUDGE = "gpt4_visual_judge"
REPEATS = 3
"""As often as upstream asks."""
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def grade(submission: Path, hidden: Path) -> dict:
    """Return whether upstream's evaluation accepts the result, with what it says of it."""
    told = json.loads((hidden / "task.json").read_text(encoding="utf-8"))
    if not (submission / told["output"]).exists():
        raise Invalid(f"{told['output']} was not made")
    with tempfile.TemporaryDirectory() as folder:
        for part in (submission / "pred_results", hidden / "benchmark"):
            (Path(folder) / part.name).symlink_to(part)
        os.chdir(folder)
        sys.path.insert(0, folder)
        judge = FigureJudge(hidden / f"{JUDGE}.py")
        try:
            success, said = _evaluate(Path(folder) / "benchmark" / "eval_programs" / told["script"])
        finally:
            os.chdir("/")
        if judge.failed is not None:
            raise judge.failed
    return {"metrics": {"success": success}, "invalid": None, "details": {"said": said[:4000]}}


class FigureJudge:
    """What upstream's evaluations import to have a figure judged: the same functions, with the same results.

    Parameters
    ----------
    upstream : Path
        Upstream's module, which is read for its prompt; it is there where an evaluation needs it.
    """

    def __init__(self, upstream: Path) -> None:
        self.failed: Exception | None = None
        """Why nothing could be judged, which no evaluation may take for a bad figure."""
        self._upstream = upstream
        module = types.ModuleType(JUDGE)
        module.encode_image, module.score_figure = self.encode_image, self.score_figure
        sys.modules[JUDGE] = module

    def encode_image(self, image_path: str) -> str:
        """Return a file in base64."""
        return base64.b64encode(Path(image_path).read_bytes()).decode()

    def score_figure(self, pred_fig: str, gold_fig: str) -> "tuple[list[str], float]":
        """Return the judge's replies, and the mean of their scores from 0 to 100."""
        try:
            return self._score(base64.b64decode(pred_fig), base64.b64decode(gold_fig))
        except Exception as error:
            self.failed = error
            raise

    def _score(self, made: bytes, wanted: bytes) -> "tuple[list[str], float]":
        if not made.startswith(PICTURES):
            raise Invalid("the figure is neither a PNG nor a JPEG picture")
        said = []

        def read(reply: str) -> "dict[str, float]":
            found = re.search(r"\[FINAL SCORE\]: (\d{1,3})", reply)
            # upstream counts a reply without a score as 0, which is the judge's failure and not the figure's
            if found is None or int(found[1]) > 100:
                raise ValueError("no [FINAL SCORE]: from 0 to 100")
            said.append(reply)
            return {"score": int(found[1])}

        with tempfile.TemporaryDirectory() as folder:
            first, second = Path(folder) / "first", Path(folder) / "second"
            first.write_bytes(made)
            second.write_bytes(wanted)
            scores = ask_judge("figure", self._prompt(), {"first figure": first, "second figure": second}, read=read, repeats=REPEATS)
        return said, sum(each["score"] for each in scores) / len(scores)

    def _prompt(self) -> str:
        for node in ast.parse(self._upstream.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["PROMPT_ORIGIN"]:
                return ast.literal_eval(node.value)
        raise RuntimeError(f"upstream's {self._upstream.name} has no PROMPT_ORIGIN")


def _evaluate(script: Path) -> "tuple[float, str]":
    spec = importlib.util.spec_from_file_location("upstream", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # upstream's evaluations may unpickle what was handed in; what libraries do while they are imported is their own affair
    sys.addaudithook(_refuse)
    try:
        success, said = module.eval()
    except (Invalid, ImportError):
        # a library that is not there is no fault of the submission
        raise
    except Exception as error:
        # upstream counts any failure of its evaluation as a failed task
        return 0.0, repr(error)
    return float(bool(success == 1)), str(said)


def _refuse(event: str, arguments: tuple) -> None:
    if event == "pickle.find_class" and tuple(arguments) not in PLAIN:
        raise Invalid(f"the result holds a pickled {arguments[0]}.{arguments[1]}, which is not loaded: only plain data is")
