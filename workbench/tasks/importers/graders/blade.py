"""Grade an analysis of BLADE: upstream's own conversion, matching and counting, with the judge as its language model.

Three things are not upstream's. What was handed in stands between the judge's marks, not inside the prompt. Code that was
handed in, or was made of it, runs confined. A reply of the judge that cannot be used is asked for again, and is no zero.
"""

import ast
import asyncio
import contextlib
import importlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import types
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

from workbench_grading import Invalid, ask_judge, read_json, run_submitted

HANDED_IN = ("code", "code_snippet", "variables_b", "models_b")
"""What of an analysis upstream puts into its prompts."""
SECONDS = 120
"""Of a transformation, as upstream has it."""
KINDS = {
    "cvar": ("num_cvars1", "matched_cvar", "hit_rate_cvars"),
    "model": ("num_mspecs1_unique", "matched_model", "hit_rate_models"),
    "model_cvar": ("num_mspecs1", "matched_model_cvar", "hit_rate_models_cvar"),
    "transform_graph": ("num_tspecs1", "matched_gspec", "hit_rate_gspecs"),
    "transform_value": ("num_tspecs1", "matched_vspec", "hit_rate_vspecs"),
}
"""Upstream's kinds of decisions, with its names for how many there are, which are matched, and the precision."""

ABSENT = {
    *("anthropic", "backoff", "diskcache", "dotenv", "google", "groq", "loguru", "mistralai", "nest_asyncio", "openai", "pytz", "tiktoken"),
    *("together", "torch", "transformers"),
}
"""What upstream imports for language models and caches of its own, which are not used."""
ELSEWHERE = {
    "langchain": "langchain_core",
    "langchain.output_parsers": "langchain_core.output_parsers",
    "langchain.schema": "langchain_core.output_parsers",
    "langchain.schema.output_parser": "langchain_core.exceptions",
}

# in the pandas that upstream is made for, a missing value has a text too
_PANDAS = "import pandas\npandas.set_option('future.infer_string', False)\n"
# upstream pickles the data frames; what it compares are the hashes of their columns
_REPORT = """
import json, types
upstream = types.ModuleType("upstream")
exec(compile({hasher!r}, "<upstream>", "exec"), vars(upstream))

def hashes(df):
    try:
        hasher = upstream.DFValueHasher(df=df, columns_to_hash=list(df.columns))
        return [{{str(name): value for name, value in found.items()}} for found in (hasher.hash(), hasher.hash_categorical())]
    except Exception as error:
        return repr(error)

print()
print(json.dumps([{{
    "columns": [str(name) for name in unit.df.columns],
    "hashes": hashes(unit.df),
    "mapping": [[sorted(given), made] for given, made in unit.column_mapping.items()],
    "verb": unit.transform_verb,
    "groupby": sorted(unit.groupby_cols or []),
}} for unit in result]))
"""


def grade(submission: Path, hidden: Path) -> dict:
    """Return how far the analysis agrees with the annotators', for each of upstream's kinds of decisions and for all."""
    handed_in = read_json(submission / "analysis.json", ["cvars", "transform_code", "m_code"])
    dataset = (hidden / "dataset.txt").read_text(encoding="utf-8")
    data = hidden / "upstream" / "blade_bench" / "datasets" / dataset / "data.csv"
    sys.path.insert(0, str(hidden / "upstream"))
    with tempfile.TemporaryDirectory() as given, contextlib.redirect_stdout(io.StringIO()):
        shutil.copyfile(data, Path(given) / "data.csv")
        upstream = Upstream(dataset, Path(given))
        analysis = upstream.read(handed_in)
        run, details = asyncio.run(upstream.evaluate(analysis))
    return {"metrics": score(run), "invalid": None, "details": details}


def score(run: object) -> "dict[str, float]":
    """Return precision, coverage and F1 of each kind of decision in one run, and upstream's weighted F1.

    Upstream's own function is for several runs, and fails where nothing of a kind matches; here that is 0.
    """
    metrics, weights = {}, {}
    for kind, (wanted, matched, precise) in KINDS.items():
        # one run has one model, so no more can be covered
        number = min(getattr(run, wanted), 1) if kind.startswith("model") else getattr(run, wanted)
        precision, coverage = float(getattr(run, precise)), len(set(getattr(run, matched))) / number
        both = precision + coverage
        metrics[f"precision_{kind}"], metrics[f"coverage_{kind}"] = precision, coverage
        metrics[f"f1_{kind}"] = 2 * precision * coverage / both if both else 0.0
        # transforms are compared in two ways, and weigh once
        weights[kind] = number / 2 if kind.startswith("transform") else number
    metrics["f1"] = sum(weight * metrics[f"f1_{kind}"] for kind, weight in weights.items()) / sum(weights.values())
    return metrics


class Upstream:
    """Upstream's evaluation, which asks the judge and runs code confined.

    Parameters
    ----------
    dataset : str
        Which one.
    given : Path
        A folder with ``data.csv``, which is all that confined code sees.
    """

    def __init__(self, dataset: str, given: Path) -> None:
        # first, since it looks for libraries that it can do without
        exec(_PANDAS, {})
        sys.meta_path.append(_Finder())
        notebook = types.ModuleType("blade_bench.nb.base")
        notebook.ExecuteNbCode = NoNotebook
        sys.modules[notebook.__name__] = notebook
        from blade_bench.data.process.transforms import dataflow  # isort: skip - the others import each other, unless this is first
        from blade_bench import nb, utils
        from blade_bench.llms.llm import LLMBase

        self.dataset, self.given, self.nb = dataset, given, nb
        self.data, self.annotations = utils.get_dataset_csv_path(dataset), utils.get_dataset_annotations_path(dataset)
        self._replies: dict[str, str] = {}
        self._ran: dict[str, subprocess.CompletedProcess[str]] = {}
        self._namespace: dict = {}
        LLMBase.generate = lambda asker, prompt_template, prompt_variables, **_: self._ask(asker, prompt_template, prompt_variables)
        nb.NotebookExecutorBasic.run_code = self._executed()
        dataflow.get_transform_state = self._state(dataflow.get_transform_state)

    def read(self, handed_in: dict) -> object:
        """Return upstream's object for an analysis."""
        from blade_bench.eval.datamodel import EntireAnalysis
        from blade_bench.parse_code import astor

        try:
            analysis = EntireAnalysis(**handed_in)
            for code in (analysis.transform_code_inside_func, analysis.model_code_inside_func):
                # upstream itself goes on with code that is no Python
                with contextlib.suppress(SyntaxError):
                    astor.to_source(ast.parse(code))
        except Exception as error:
            raise Invalid(f"analysis.json is not an analysis as upstream reads it: {error}"[:1000]) from None
        return analysis

    async def evaluate(self, analysis: object) -> "tuple[object, dict]":
        """Return upstream's figures of a run, and what they are made of."""
        import pandas as pd
        from blade_bench.data.annotation import get_annotation_data_from_df
        from blade_bench.eval.convert import Convert
        from blade_bench.eval.datamodel import EvalResult, EvalResults, EvalRunResults, MatchedCvars, RunResultModes
        from blade_bench.eval.match.match_submission import SubmissionMatch
        from blade_bench.eval.metrics.calc_metrics import CalcSubmissionMetrics

        annotators = get_annotation_data_from_df(pd.read_csv(self.annotations))
        wanted = await annotators.get_state_data(self.data, save_path=str(self.given), timeout=60)
        convert = Convert(self.dataset, text_gen=MagicMock(), use_code_cache=False, output_dir=str(self.given))
        processed, failed = await convert.convert_entire_analysis(analysis)
        matched = await SubmissionMatch(self.dataset, text_gen=MagicMock()).match_all(annotators, processed)
        models = matched.matched_models
        for match in models.matched.values():
            # upstream leaves nothing here where no variable belongs to the model, and then stumbles over it
            if match.matched_cvars is None:
                wanted_cvars = models.mspec_id_to_cvars1[match.model1.spec_id]
                match.matched_cvars = {"Control": MatchedCvars(input_vars1=wanted_cvars, input_vars2=[], matched={})}
        done = EvalRunResults(
            info="", res_type=RunResultModes.FINISHED_SUCCESSFULLY, res_type_transform=failed and RunResultModes(failed.res_type)
        )
        result = EvalResult(
            dataset_name=self.dataset, analysis=analysis, eval_run_result=done, analysis_processed=processed, matched_annotations=matched
        )
        metrics = CalcSubmissionMetrics(EvalResults(dataset_name=self.dataset, results=[result]), ks=[]).calculate_metrics()
        # upstream learns these only from a run whose transformation works
        metrics.num_tspecs1 = len(wanted.expanded_id_to_spec) - 1
        metrics.num_mspecs1, metrics.num_mspecs1_unique = matched.mspecs1, matched.mspecs_unique
        run = metrics[0]
        details = {name: sorted(getattr(run, name)) for _, name, _ in KINDS.values()}
        return run, {**details, "transform": failed.info[-1000:] if failed else "converted"}

    def _ask(self, asker: object, template: "list[dict]", variables: dict) -> str:
        shown = {name: str(variables[name]) for name in HANDED_IN if name in variables}
        messages = asker.generate_chat_prompt(template, {**variables, **{name: f"[{name}: see below]" for name in shown}})
        instructions = "\n\n".join(message["content"] for message in messages)
        key = json.dumps([instructions, shown])
        if key not in self._replies:  # upstream does not ask twice either

            def read(reply: str) -> "dict[str, float]":
                self._replies[key] = reply
                return self._usable(asker, variables, reply)

            ask_judge(type(asker).__name__, instructions, shown, read=read)
        return self._replies[key]

    def _usable(self, asker: object, variables: dict, reply: str) -> "dict[str, float]":
        """Say how much is in a reply; ValueError where upstream could do nothing with it, which it would pass over."""
        if "code" in variables:
            return {"units": self._units(asker._parse_code(reply))}
        found = asker.match_json(reply)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        if "code_snippet" in variables:
            columns = found.get("m_columns")
            listed = isinstance(columns, list) and all(isinstance(each, str) for each in columns)
            if not listed or not isinstance(found.get("m_spec"), str):
                raise ValueError("no m_spec, or no m_columns")
            return {"columns": len(columns)}
        most = [len(json.loads(variables[name])) for name in variables if name in {"variables_a", "variables_b", "models_a", "models_b"}]
        for pair, why in found.items():
            numbers = [int(digits) for digits in re.findall(r"\d+", pair)]
            if len(numbers) != 2 or not all(1 <= number <= last for number, last in zip(numbers, most, strict=True)):
                raise ValueError(f"{pair} is no pair of those to be matched")
            if not isinstance(why, dict) or "rationale" not in why or ("variables_a" in variables and "similarity" not in why):
                raise ValueError(f"{pair} has no rationale, or no similarity")
            try:
                int(why.get("similarity", 0))
            except (TypeError, ValueError):
                raise ValueError(f"the similarity of {pair} is no number") from None
        return {"pairs": len(found)}

    def _units(self, code: str) -> int:
        """Say how many unit transformations the judge's code has; upstream wants each to be a function at the top of it."""
        from blade_bench.parse_code import extract_code_inside_functions_and_func_names

        executor = self.nb.TransformObjExecutor(data_path=self.data, run_init_once=True)
        said, works, units = self._confined(executor, code)
        if not works:
            raise ValueError(f"the unit transformations do not run: {said[-500:]}")
        functions, _ = extract_code_inside_functions_and_func_names(code)
        if len(functions) < len(units):
            raise ValueError(f"{len(units)} unit transformations of {len(functions)} functions")
        return len(units)

    def _executed(self) -> object:
        async def run_code(executor: object, code: str, *_: object, **__: object) -> tuple:
            confined = isinstance(executor, (self.nb.TransformCodeExecutor, self.nb.TransformObjExecutor))
            return self._confined(executor, code) if confined else self._annotators(executor, code)

        return run_code

    def _annotators(self, executor: object, code: str) -> tuple:
        """Run code of the annotators: upstream's own, and it is here that their data frames are compared."""
        if not self._namespace:
            exec(executor.init_code.format(data_path=self.data), self._namespace)
        names = dict(self._namespace)
        try:
            exec(_templated(executor, code), names)
            return "", True, names["transform"](names["df"])
        except Exception:
            return traceback.format_exc(), False, None

    def _confined(self, executor: object, code: str) -> tuple:
        """Run code of the agent or the judge; return what it said, whether it works, and the unit transformations it gave."""
        program = _PANDAS + executor.init_code.format(data_path=self.given / "data.csv") + _templated(executor, code)
        program += executor.postfix_code.format(save_path="").partition("with open(")[0]
        converts = isinstance(executor, self.nb.TransformObjExecutor)
        if converts:
            hasher = Path(sys.modules["blade_bench.nb.df_hash"].__file__).read_text(encoding="utf-8")
            program += _REPORT.format(hasher=hasher)
        if program not in self._ran:
            (self.given / "program.py").write_text(program, encoding="utf-8")
            self._ran[program] = run_submitted("import program", submission=self.given, timeout=SECONDS)
        done = self._ran[program]
        if done.returncode != 0:
            return "it took too long" if done.returncode == -9 else done.stderr, False, None
        try:
            # each time anew, since upstream changes them
            return "", True, [self._unit(**each) for each in json.loads(done.stdout.splitlines()[-1])] if converts else None
        except (ValueError, IndexError, TypeError, RecursionError) as error:
            return f"it gives no unit transformations: {error}", False, None

    def _unit(self, columns: "list[str]", hashes: object, mapping: list, verb: str, groupby: "list[str]") -> object:
        import pandas as pd
        from blade_bench.data.datamodel import TransformDataReturn

        frame = pd.DataFrame(columns=columns)
        frame.attrs["hashes"] = hashes
        return TransformDataReturn(
            df=frame, column_mapping={frozenset(given): made for given, made in mapping}, transform_verb=verb, groupby_cols=set(groupby)
        )

    def _state(self, upstreams: object) -> object:
        from blade_bench.data.datamodel import TransformState

        def state(spec_id: str, df: object, columns: "list[str]", name: str) -> object:
            if "hashes" not in df.attrs:
                return upstreams(spec_id, df, columns, name)
            if not isinstance(df.attrs["hashes"], list):
                raise ValueError(f"columns that cannot be compared: {df.attrs['hashes']}")
            values, categories = df.attrs["hashes"]
            return TransformState(
                spec_id=spec_id, df_value_hash=values, df_categorical_value_hash=categories, df=df, columns=columns, spec_name=name
            )

        return state


def _templated(executor: object, code: str) -> str:
    return executor.code_template_run.format(code="    " + code.replace("\n", "\n    ") if executor.add_tabs else code)


@dataclass
class NoNotebook:
    """In the place of upstream's notebook, in which it runs code."""

    async def terminate(self) -> None:
        """End nothing."""


class _Finder:
    """Finds what upstream imports and does not need here, and the parts of langchain where they are today."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":  # noqa: ARG002 - as Python asks
        known = name in ELSEWHERE or name.partition(".")[0] in ABSENT
        return ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__

        def attribute(of: str) -> object:
            if of.startswith("__"):
                raise AttributeError(of)
            return getattr(importlib.import_module(ELSEWHERE[name]), of) if name in ELSEWHERE else MagicMock()

        module.__getattr__ = attribute
