"""A look-alike of BLADE's package: the names that our grader takes from it, and a small evaluation behind them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

FILES = {
    "__init__.py": "import sys\n\nassert 'pytest' not in sys.modules, 'upstream is not to be imported here'\n",
    "logger.py": "from loguru import logger\n\nlogger = logger.patch(print)\nlogger.info('nobody hears this')\n",
    "utils.py": """
from pathlib import Path

FOLDER = Path(__file__).parent / "datasets"


def get_dataset_csv_path(name):
    return str(FOLDER / name / "data.csv")


def get_dataset_annotations_path(name):
    return str(FOLDER / name / "annotations.csv")
""",
    "parse_code.py": """
import ast


class astor:
    to_source = staticmethod(ast.unparse)


def extract_code_inside_functions_and_func_names(code):
    functions = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    return [ast.unparse(node) for node in functions], [node.name for node in functions]
""",
    "nb/df_hash.py": """
class DFValueHasher:
    def __init__(self, df, columns_to_hash):
        self.df, self.columns = df, columns_to_hash

    def hash(self):
        return {name: str(list(self.df[name].astype(float))) for name in self.columns}

    hash_categorical = hash
""",
    "nb/__init__.py": """
from . import df_hash
from .base import ExecuteNbCode

INIT = "import pandas as pd\\nimport pickle\\ndf = pd.read_csv('{data_path}')\\n"
SAVE = "with open('{save_path}', 'wb') as f:\\n    pickle.dump(result, f)\\n"
UNIT = '''
class TransformDataReturn:
    def __init__(self, df, column_mapping, transform_verb, groupby_cols=()):
        self.df, self.column_mapping, self.transform_verb, self.groupby_cols = df, column_mapping, transform_verb, groupby_cols

'''


class NotebookExecutorBasic:
    init_code = INIT
    code_template_run = "def transform(df):\\n{code}\\n    return df\\n"
    postfix_code = "\\nresult = transform(df)\\n" + SAVE
    add_tabs = True

    def __init__(self, data_path, run_init_once=True):
        self.data_path, self.notebook = data_path, ExecuteNbCode()


class TransformCodeExecutor(NotebookExecutorBasic):
    pass


class TransformObjExecutor(NotebookExecutorBasic):
    init_code = INIT + UNIT
    code_template_run = "\\n{code}\\n"
    postfix_code = "\\nresult = [each(df) for each in transform_funcs]\\n" + SAVE
    add_tabs = False
""",
    "data/__init__.py": "",
    "data/datamodel.py": """
from dataclasses import dataclass


@dataclass
class TransformDataReturn:
    df: object
    column_mapping: dict
    transform_verb: str
    groupby_cols: set


@dataclass
class TransformState:
    spec_id: str
    df_value_hash: dict
    df_categorical_value_hash: dict
    df: object
    columns: list
    spec_name: str
""",
    "data/process/__init__.py": "",
    "data/process/transforms/__init__.py": "",
    "data/process/transforms/dataflow.py": """
from blade_bench.data.datamodel import TransformState
from blade_bench.nb.df_hash import DFValueHasher


def get_transform_state(spec_id, df, columns, name):
    hashes = DFValueHasher(df, columns).hash()
    return TransformState(spec_id, hashes, hashes, df, columns, name)


def made(spec_id, df, given):
    state = get_transform_state(spec_id, df, list(df.columns), spec_id)
    return {value for name, value in state.df_value_hash.items() if name not in given}
""",
    "data/annotation.py": """
import json
from types import SimpleNamespace

import pandas as pd
from blade_bench.data.process.transforms import dataflow
from blade_bench.nb import NotebookExecutorBasic


def get_annotation_data_from_df(df):
    columns = ("conceptual_spec_json", "transform_spec_json", "model_spec_json")
    return Annotators(*([json.loads(text) for text in df[name].dropna()] for name in columns))


class Annotators:
    def __init__(self, variables, transforms, models):
        self.variables, self.transforms, self.models = variables, transforms, models

    async def get_state_data(self, path, save_path, timeout):
        given, self.values = set(pd.read_csv(path).columns), {}
        for each in self.transforms[1:]:
            said, works, frame = await NotebookExecutorBasic(path).run_code(each["code"])
            assert works, said
            for value in dataflow.made(each["code"], frame, given):
                self.values[value] = each["code"]
        return SimpleNamespace(expanded_id_to_spec=self.transforms)
""",
    "llms/__init__.py": "import anthropic\nfrom torch import nn\n",
    "llms/llm.py": """
import json
import re


class LLMBase:
    def generate_chat_prompt(self, template, variables):
        return [{**each, "content": each["content"].format(**variables)} for each in template]

    def generate(self, prompt_template, prompt_variables=None):
        raise AssertionError("nobody is asked in this way")

    def match_json(self, text):
        found = re.search(r"\\{.*\\}", text, re.DOTALL)
        return json.loads(found.group() if found else "")

    def _parse_code(self, text):
        return text.split("```python")[-1].split("```")[0].strip()
""",
    "eval/__init__.py": "",
    "eval/datamodel.py": """
from enum import Enum
from types import SimpleNamespace

MatchedCvars = EvalResult = EvalResults = EvalRunResults = SimpleNamespace


class RunResultModes(Enum):
    LM_SUBMISSION_EXECUTION_FAILED = 0
    FINISHED_SUCCESSFULLY = 5


class EntireAnalysis:
    def __init__(self, cvars, transform_code, m_code):
        groups = {"DV": [cvars["dv"]], "IV": cvars["ivs"], "Control": cvars["controls"]}
        self.variables = [f"{kind}: {each['description']}" for kind, group in groups.items() for each in group]
        self.transform_code_inside_func, self.model_code_inside_func = transform_code, m_code
""",
    "eval/convert.py": """
from types import SimpleNamespace

from blade_bench.data.process.transforms import dataflow
from blade_bench.llms.llm import LLMBase
from blade_bench.nb import TransformCodeExecutor, TransformObjExecutor
from blade_bench.utils import get_dataset_csv_path


class ToTransforms(LLMBase):
    pass


class ToModel(LLMBase):
    pass


class Convert:
    def __init__(self, dataset, text_gen, use_code_cache, output_dir):
        self.path = get_dataset_csv_path(dataset)

    async def convert_entire_analysis(self, analysis):
        values, failed = [], None
        said, works, _ = await TransformCodeExecutor(self.path).run_code(analysis.transform_code_inside_func)
        if works:
            asked = {"code": analysis.transform_code_inside_func}
            asker = ToTransforms()
            reply = asker.generate(prompt_template=[{"role": "user", "content": "Divide {code} into units."}], prompt_variables=asked)
            said, works, units = await TransformObjExecutor(self.path).run_code(asker._parse_code(reply))
            values = [dataflow.made("unit", each.df, {"bees", "rain"}) for each in units]
        else:
            failed = SimpleNamespace(info=said, res_type=0)
        asked = {"code_snippet": analysis.model_code_inside_func}
        asker = ToModel()
        model = asker.match_json(asker.generate([{"role": "user", "content": "Which model is {code_snippet}?"}], asked))
        return SimpleNamespace(variables=analysis.variables, values=values, model=model["m_spec"]), failed
""",
    "eval/match/__init__.py": "",
    "eval/match/match_submission.py": """
import json
import re
from types import SimpleNamespace

from blade_bench.llms.llm import LLMBase


class Variables(LLMBase):
    pass


class Models(LLMBase):
    pass


class SubmissionMatch:
    def __init__(self, dataset, text_gen):
        pass

    async def match_all(self, annotators, processed):
        variables = [f"{each['variable_type']}: {each['concept']}" for each in annotators.variables]
        models = sorted({each["specification"] for each in annotators.models})
        same = self.ask(Variables(), "variables", variables, processed.variables)
        model = self.ask(Models(), "models", models, [processed.model])
        transforms = [{annotators.values[value] for value in unit if value in annotators.values} for unit in processed.values]
        return SimpleNamespace(
            variables=variables,
            handed_in=processed.variables,
            same=[pair for pair, why in same.items() if int(why["similarity"]) >= 8],
            matched_models=SimpleNamespace(matched={}, names=[models[first - 1] for first, _ in model]),
            transforms=transforms,
            mspecs1=len(annotators.models),
            mspecs_unique=len(models),
        )

    def ask(self, asker, kind, first, second):
        asked = {f"{kind}_a": json.dumps(dict(enumerate(first, 1))), f"{kind}_b": json.dumps(dict(enumerate(second, 1)))}
        text = f"Match {kind}: {{{kind}_a}} with {{{kind}_b}}."
        found = asker.match_json(asker.generate([{"role": "system", "content": "You match."}, {"role": "user", "content": text}], asked))
        return {tuple(int(digit) for digit in re.findall(r"\\d+", pair)): why for pair, why in found.items()}
""",
    "eval/metrics/__init__.py": "",
    "eval/metrics/calc_metrics.py": """
from types import SimpleNamespace


class CalcSubmissionMetrics:
    def __init__(self, submission, ks):
        self.result = submission.results[0]

    def calculate_metrics(self):
        return Metrics(self.result.matched_annotations)


class Metrics:
    def __init__(self, matched):
        self.matched, self.num_tspecs1 = matched, -1

    def __getitem__(self, position):
        matched, units = self.matched, max(len(self.matched.transforms), 1)
        return SimpleNamespace(
            num_cvars1=len(matched.variables), num_mspecs1=self.num_mspecs1, num_mspecs1_unique=self.num_mspecs1_unique,
            num_tspecs1=self.num_tspecs1,
            matched_cvar=[matched.variables[first - 1] for first, _ in matched.same],
            matched_model=matched.matched_models.names, matched_model_cvar=[], matched_gspec=[],
            matched_vspec=[code for unit in matched.transforms for code in unit],
            hit_rate_cvars=len({second for _, second in matched.same}) / len(matched.handed_in),
            hit_rate_models=len(matched.matched_models.names), hit_rate_models_cvar=0, hit_rate_gspecs=0,
            hit_rate_vspecs=sum(map(bool, matched.transforms)) / units,
        )
""",
}
_VARIABLES = [
    {
        "variable_type": "DV",
        "concept": "bees",
        "interaction": False,
        "final_columns_orig": ["🟨 bees"],
        "final_columns_derived": ["🟩 twice"],
    },
    {"variable_type": "IV", "concept": "rain", "interaction": False, "final_columns_orig": ["🟨 rain"], "on": ""},
    {"variable_type": "Control", "concept": "wind", "interaction": True, "on": "rain", "final_columns_derived": ["🟩 wind"]},
]
_TRANSFORMS = [
    ("ROOT", {"specification": "ROOT"}),
    ("t1", {"code": "df['twice'] = df['bees'] * 2", "branches": [{"dependencies": ["ROOT"]}]}),
    ("t2", {"code": "df['wind'] = df['twice'] - 1 if 'twice' in df else df['rain'] * 3", "branches": [["t1"], ["ROOT"]]}),
]
_MODELS = [
    {"specification": "t-test", "associated_columns_orig": ["🟨 bees"]},
    {
        **{"specification": "Linear Regression", "code": "model = fit(df)", "associated_columns_orig": ["🟨 rain"]},
        **{"associated_columns_derived": ["🟩 twice", "🟩 wind"], "associated_columns_leaf_spec_ids": ["t2"]},
    },
]


def write(folder: Path) -> None:
    """Write the package below ``blade_bench``, and the folder of the data set its prompts' example is from."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "datasets/fertility").mkdir(parents=True)
    (folder / "datasets/fertility/info.json").write_text("{}")


def annotate(path: Path) -> None:
    """Write what annotators say of bees: three variables, two transformations after the root, two models."""
    columns = ["spec_id", "conceptual_spec_json", "transform_spec_json", "model_spec_json"]
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, columns)
        rows.writeheader()
        rows.writerows({"spec_id": f"c{number}", columns[1]: json.dumps(each)} for number, each in enumerate(_VARIABLES))
        rows.writerows({"spec_id": name, columns[2]: json.dumps(each)} for name, each in _TRANSFORMS)
        rows.writerows({"spec_id": f"m{number}", columns[3]: json.dumps(each)} for number, each in enumerate(_MODELS))
