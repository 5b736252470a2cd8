"""A judge for BLADE's own questions that takes for the same what says the same, and each statement for a unit."""

from __future__ import annotations

import ast
import json
import re

from workbench.messages import Message

_SHOWN = re.compile(r"^=== (\S+) ([0-9a-f]{16}) ===\n(.*?)\n=== \1 \2 ===$", re.DOTALL | re.MULTILINE)
_HEADS = {"variables_b": "Conceptual Variables A", "models_b": "Statistical Model Specification A"}


def reply(messages: list[Message]) -> str:
    """Return what the judge says."""
    text = messages[-1].text
    [(name, _, shown)] = _SHOWN.findall(text)
    if name == "code":
        return _units(shown)
    if name == "code_snippet":
        # the reference says it in its first line
        model, _, columns = ast.literal_eval(shown.strip().splitlines()[0]).partition(", of ")
        return json.dumps({"m_spec": model, "m_columns": columns.split(", ")})
    wanted = json.loads(re.findall(_HEADS[name] + r":\n```\n(.*?)\n```", text, re.DOTALL)[-1])
    pairs = [(a, b) for a, said in wanted.items() for b, also in json.loads(shown).items() if _words(said) == _words(also)]
    return json.dumps({f"A{a}-B{b}": {"rationale": "the same", "similarity": 10} for a, b in pairs})


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _units(code: str) -> str:
    statements = [ast.unparse(node) for node in ast.parse(code).body]
    imports = [each for each in statements if each.startswith("import ")]
    functions = []
    for statement in statements:
        if statement in imports:
            continue
        made = re.match(r"df\['(\w+)'\] = ", statement)
        used = re.findall(r"'(\w+)'", statement[made.end() :] if made else statement)
        column, verb = (made[1], "derive") if made else ("ALL", "filter")
        functions.append(
            f"def unit_{len(functions)}(df):\n    {'; '.join(imports) or 'pass'}\n    df = df.copy()\n    {statement}\n"
            f"    return TransformDataReturn(df=df, column_mapping={{frozenset({used}): {column!r}}}, transform_verb={verb!r})\n"
        )
    names = ", ".join(f"unit_{number}" for number in range(len(functions)))
    return f"```python\n{''.join(functions)}transform_funcs = [{names}]\n```"
