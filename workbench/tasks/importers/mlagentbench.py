"""MLAgentBench: 13 machine-learning experiments, each the improvement of a starter; success is more than 10 per cent over it.

One of them, ``vectorization``, needs nothing but numpy. The others need data or weights from the network, Kaggle's among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, described
from workbench.tasks.spec import Task

TITLE = "MLAgentBench"
SOURCE = "Huang et al. (2024), arXiv 2310.03302; github.com/snap-stanford/MLAgentBench"

_GRADERS = Path(__file__).parent / "graders"
_NOTE = "\n\nThe files are in /workspace, which is your working directory."


class _Published(NamedTuple):
    """One of the paper's tasks: its folder upstream, and what it needs."""

    folder: str
    needs: tuple[str, ...] = ()
    why: str = ""
    direction: str = "max"


_TASKS = {
    "cifar10": _Published("cifar10", ("network",), "torchvision downloads CIFAR-10, for the agent and for upstream's evaluation"),
    "imdb": _Published("imdb", ("network",), "DistilBERT and the IMDb data are downloaded from Hugging Face"),
    "ogbn-arxiv": _Published(
        "ogbn-arxiv", ("network",), "the ogb package downloads the graph, for the agent and for upstream's evaluation"
    ),
    "house-price": _Published("house-price", ("kaggle",), "data of the competition home-data-for-ml-course", "min"),
    "spaceship-titanic": _Published("spaceship-titanic", ("kaggle",), "data of the competition spaceship-titanic"),
    "parkinsons-disease": _Published(
        "amp-parkinsons-disease-progression-prediction",
        ("kaggle",),
        "data of the competition amp-parkinsons-disease-progression-prediction",
        "min",
    ),
    "fathomnet": _Published("fathomnet", ("kaggle", "network", "gpu"), "data of fathomnet-out-of-sample-detection, and its images"),
    "feedback": _Published(
        "feedback", ("kaggle", "network", "gpu"), "data of feedback-prize-english-language-learning, and a language model's weights", "min"
    ),
    "identify-contrails": _Published(
        "identify-contrails", ("kaggle", "gpu"), "data of google-research-identify-contrails-reduce-global-warming"
    ),
    "clrs": _Published("CLRS", ("network",), "the clrs package is installed from its repository, and downloads the CLRS-30 data"),
    "babylm": _Published("babylm", ("network", "gpu"), "prepare.py downloads the babyLM text; a GPT-2 is trained on it", "min"),
    "llama-inference": _Published("llama-inference", ("network", "gpu"), "LLaMA weights, and upstream's A100; it has no evaluation", "min"),
    "vectorization": _Published("vectorization", direction="min"),
}


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the tasks of the paper; the checkout holds two more, which were never published.

    Raises
    ------
    TaskError
        If the checkout is not one of MLAgentBench.
    """
    checkout.find("MLAgentBench", "benchmarks")
    found = []
    for name in _TASKS:
        with checkout.reading(f"mlagentbench/{name}"):
            found.append(_vectorization(checkout) if name == "vectorization" else _listed(checkout, name))
    return found


def _listed(checkout: Checkout, name: str) -> Imported:
    """Return a task that is known, with what it lacks."""
    published = _TASKS[name]
    metric = {
        "name": "score",
        "primary": True,
        "direction": published.direction,
        "baseline": {"measure": "untouched"},
        "success": {"rule": "relative_improvement_gt", "value": 0.1},
    }
    task = _task(checkout, name, {"prepare": {"needs": published.needs, "why": published.why}, "metric": [metric]})
    return Imported(task, checkout, {"": _said(checkout, name)}, [Piece("workspace", _folder(checkout, name) / "env")])


def _vectorization(checkout: Checkout) -> Imported:
    name = "vectorization"
    starter = _folder(checkout, name) / "env" / "train.py"
    task = _task(
        checkout,
        name,
        {
            # the starter assigns an array of one element to a number, which numpy 2.4 refuses; upstream's evaluation uses pandas
            "environment": {"name": "python-min", "packages": ["numpy<2.4", "pandas<3"], "memory": "2G"},
            "grader": {"timeout": 900},
            # the time is measured again
            "prepare": {"needs": ["cgroup"]},
            "metric": [
                # 10 per cent less time is 1/0.9 times as fast
                {
                    "name": "speedup",
                    "primary": True,
                    "range": [0, float("inf")],
                    "invalid": 0,
                    "success": {"rule": "gt", "value": 1 / 0.9},
                    "noise": 0.2,
                },
                # upstream's own metric: what the submission reports about itself, which decides nothing
                {
                    "name": "self_reported_seconds",
                    "direction": "min",
                    "range": [0, float("inf")],
                    "invalid": 1e10,
                    "baseline": {"measure": "untouched"},
                    "success": {"rule": "relative_improvement_gt", "value": 0.1},
                },
            ],
        },
    )
    return Imported(
        task,
        checkout,
        {"": _said(checkout, name)},
        [
            Piece("workspace/train.py", starter),
            Piece("hidden/starter/train.py", starter),
            Piece("hidden/eval.py", checkout.find(str((_folder(checkout, name) / "scripts" / "eval.py").relative_to(checkout.root)))),
            Piece("hidden/grader.py", _GRADERS / "mlagentbench.py"),
        ],
        cells=_CELLS,
        preparation=_GRADERS / "mlagentbench_prepare.py",
    )


def _task(checkout: Checkout, name: str, more: dict[str, Any]) -> Task:
    return described(
        f"mlagentbench/{name}",
        family="ml-experimentation",
        licence="MIT",
        source=SOURCE,
        summary=_said(checkout, name).removesuffix(_NOTE),
        interaction={"max_steps": 50, "max_seconds": 5 * 3600},
        submission={"kind": "tree", "clear_before_run": ["submission.csv"]},
        **more,
    )


def _folder(checkout: Checkout, name: str) -> Path:
    return checkout.find("MLAgentBench", "benchmarks", _TASKS[name].folder)


def _said(checkout: Checkout, name: str) -> str:
    folder = _folder(checkout, name)
    said = checkout.text(str(folder.relative_to(checkout.root) / "scripts" / "research_problem.txt")).strip()
    if not said:
        raise TaskError(f"{folder / 'scripts' / 'research_problem.txt'} is empty", hint="is this a complete checkout of the benchmark?")
    return said + _NOTE


# upstream has no solution; this one is ours: the windows as one view, and the convolution as one matrix product
_CELLS = (
    '''
import ast
from pathlib import Path

FORWARD = """
    def forward(self, features_batch):
        pad = self.padding if isinstance(self.padding, int) else 0
        size, _, channels, filters = self.kernel_matrices.shape
        padded = add_padding(features_batch, pad)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, :: self.stride, :: self.stride]
        kernels = self.kernel_matrices.transpose(2, 0, 1, 3).reshape(-1, filters)
        output = windows.reshape(*windows.shape[:3], -1) @ kernels + self.biases.reshape(-1)
        return relu(output) if self.activation == "relu" else output
"""
lines = Path("train.py").read_text().splitlines()
forward = next(
    node for node in ast.walk(ast.parse("\\n".join(lines))) if isinstance(node, ast.FunctionDef) and node.name == "forward"
)
lines[forward.lineno - 1 : forward.end_lineno] = FORWARD.strip("\\n").splitlines()
Path("train.py").write_text("\\n".join(lines) + "\\n")
''',
    """
import subprocess
import sys

# train.py appends, and the first line counts: a time from before the change must not stay there
Path("submission.csv").unlink(missing_ok=True)
print(subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, check=True).stdout)
""",
)
