"""What real models write, and what the workbench makes of it."""
# ruff: noqa: E501, RUF001  (replies as models write them)

import ast
import json
import string
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.agents.notes import Notes
from workbench.agents.replies import ParsedReply, parse_reply
from workbench.messages import Reply, ToolCall

SAY = Notes()
"""The notes of the format that is asked for by default."""


def parse(text: str = "", *, finish_reason: str = "stop", calls: list[tuple[str, str]] | None = None, reasoning: str = "") -> ParsedReply:
    tool_calls = [ToolCall(id=f"call_{number}", name=name, arguments=arguments) for number, (name, arguments) in enumerate(calls or [])]
    return parse_reply(Reply(text=text, finish_reason=finish_reason, tool_calls=tool_calls, reasoning=reasoning))


def codes(parsed: ParsedReply) -> list[str]:
    return [action.code for action in parsed.actions]


WELL_FORMED = {
    "gpt: prose and a python fence": ("I count.\n\n```python\nprint(1)\n```\nThat is all.", ["print(1)"]),
    "claude: several fences": ("First\n```python\nx = 1\n```\nthen\n```python\nprint(x)\n```", ["x = 1", "print(x)"]),
    "claude: the same block twice is meant": ("```python\nx += 1\n```\nand again\n```python\nx += 1\n```", ["x += 1", "x += 1"]),
    "smolagents: Thought, Code, end_code": ("Thought: go.\nCode:\n```py\nprint(1)\n```<end_code>", ["print(1)"]),
    "smolagents: end_code on its own line": ("Thought: go.\nCode:\n```py\nprint(1)\n```\n<end_code>", ["print(1)"]),
    "smolagents 1.20: code tags": ("Thought: go.\n<code>\nprint(1)\n</code>", ["print(1)"]),
    "python tags": ("Go.\n<python>\nprint(1)\n</python>", ["print(1)"]),
    "code tags on one line": ("<code>print(1)</code>", ["print(1)"]),
    "CodeActAgent: execute": ("I will look. <execute>\nprint(1)\n</execute>", ["print(1)"]),
    "CodeActAgent: execute on one line": ("I will look: <execute> print(1) </execute>", ["print(1) "]),
    "OpenHands: execute_ipython": ("<execute_ipython>\n!ls\n</execute_ipython>", ["!ls"]),
    "OpenHands with DeepSeek-Coder: tag never finished": ("<execute_ipython>\nprint(1)\n</execute_ipython", ["print(1)"]),
    "Mistral: a fence inside execute": ("<execute>\n```python\nprint(1)\n```\n</execute>", ["print(1)"]),
    "execute inside a fence": ("```python\n<execute>\nprint(1)\n</execute>\n```", ["print(1)"]),
    "Gemini: tool_code": ("```tool_code\nprint(1)\n```", ["print(1)"]),
    "capital": ("```Python\nprint(1)\n```", ["print(1)"]),
    "python3": ("```python3\nprint(1)\n```", ["print(1)"]),
    "ipython": ("```ipython\n%timeit f()\n```", ["%timeit f()"]),
    "ChatGPT's copy button": ("```python copy\nprint(1)\n```", ["print(1)"]),
    "Quarto braces": ("```{python}\nprint(1)\n```", ["print(1)"]),
    "attributes": ('```python title="a.py"\nprint(1)\n```', ["print(1)"]),
    "space before the tag": ("``` python\nprint(1)\n```", ["print(1)"]),
    "tildes": ("~~~python\nprint(1)\n~~~", ["print(1)"]),
    "tildes holding backticks": ("~~~python\nx = '''\n```\n'''\n~~~", ["x = '''\n```\n'''"]),
    "long fence holding a short one": ("````python\nx = '''\n```\n'''\n````", ["x = '''\n```\n'''"]),
    "closing fence may be longer and indented": ("```python\nprint(1)\n   `````", ["print(1)"]),
    "Llama: fence in a list item": ("1. Load:\n\n   ```python\n   if x:\n       y()\n   ```\n2. Next", ["if x:\n    y()"]),
    "fence on the list marker's line": ("- ```python\n  print(1)\n  ```", ["print(1)"]),
    "indented by tabs": ("```python\n\tif x:\n\t\ty()\n```", ["if x:\n\ty()"]),
    "blank lines are trimmed, inner ones kept": ("```python\n\n\nx = 1\n\n\ny = 2\n\n```", ["x = 1\n\n\ny = 2"]),
    "json is not run": ('```json\n{"a": 1}\n```\n```python\nprint(1)\n```', ["print(1)"]),
    "diff is not run": ("```diff\n-x\n+y\n```\n```python\nprint(1)\n```", ["print(1)"]),
    "untagged beside tagged is not run": ("```\nx = 1\n```\n```python\nprint(1)\n```", ["print(1)"]),
    "python inside markdown is not run": (
        "```markdown\n# Use\n```python\nbad()\n```\nend\n```\nso\n```python\nprint(1)\n```",
        ["print(1)"],
    ),
    "invalid code is for the kernel to show": ("```python\nprint(\n```\nSo.", ["print("]),
    "invalid code with an odd quote": ("```python\nprint('a)\n```\nIt's\n```python\nb()\n```", ["print('a)", "b()"]),
    "top-level await": ("```python\nawait f()\n```", ["await f()"]),
    "fence in a string": (
        '```python\ntext = """\n```bash\npip install x\n```\n"""\n```\nDone.',
        ['text = """\n```bash\npip install x\n```\n"""'],
    ),
    "fence in a string beside magics": (
        "```python\n!pip install x\ntext = '''\n```\n'''\n```\nSo",
        ["!pip install x\ntext = '''\n```\n'''"],
    ),
    "fence in a comment": ("```python\n# ```\n# f()\n# ```\nf()\n```", ["# ```\n# f()\n# ```\nf()"]),
    "fence in a cell magic": (
        "```python\n%%writefile README.md\n# Use\n```bash\nmake\n```\nend\n```\nSo",
        ["%%writefile README.md\n# Use\n```bash\nmake\n```\nend"],
    ),
    "fence in a timed cell": ("```python\n%%time\nx = '''\n```\n'''\n```\nSo", ["%%time\nx = '''\n```\n'''"]),
    "python inside text is not run": ("```text\n```python\nbad()\n```\n```\n```python\nprint(1)\n```", ["print(1)"]),
    "long fence of text holding a short one": ("````text\n```\nx\n````\n```python\nprint(1)\n```", ["print(1)"]),
    "cell magic between tags": ("<execute>%%bash\nls</execute>\n```python\nprint(1)\n```", ["%%bash\nls", "print(1)"]),
    "prose and a fence inside execute": ("<execute>\nI print:\n```python\nprint(1)\n```\n</execute>", ["print(1)"]),
    "tool_call tag in a string": (
        '<tool_call>{"name": "execute_python", "arguments": {"code": "print(\'</tool_call>\')"}}</tool_call>',
        ["print('</tool_call>')"],
    ),
    "execute tag in a string": ("<execute>\nprint('</execute>')\n</execute>", ["print('</execute>')"]),
    "answer in a string": ("```python\nprint('<answer>1</answer><done/>')\n```", ["print('<answer>1</answer><done/>')"]),
    "tags in inline code are only named": ("I will put `<answer>` later.\n```python\nprint(1)\n```", ["print(1)"]),
    "answer tag named in a sentence": ("I will end with <answer> later.\n```python\nprint(1)\n```", ["print(1)"]),
    "execute tag named in a sentence": ("I use <execute> tags.\n```python\nprint(1)\n```", ["print(1)"]),
    "HTML code in a sentence": ("<code>x</code> is a name.\n```python\nprint(1)\n```", ["print(1)"]),
    "Qwen: think": ("<think>Maybe\n```python\nbad()\n```\n</think>\n```python\nprint(1)\n```", ["print(1)"]),
    "DeepSeek-R1: think closed only": ("Maybe\n```python\nbad()\n```\n</think>\n```python\nprint(1)\n```", ["print(1)"]),
    "DeepSeek-R1: a fence left open in its thoughts": ("Maybe\n```python\nbad()\n</think>\n\n```python\nprint(1)\n```", ["print(1)"]),
    "thinking": ("<thinking>```python\nbad()\n```</thinking>\n```python\nprint(1)\n```", ["print(1)"]),
    "reasoning": ("<reasoning><execute>bad()</execute></reasoning>\n```python\nprint(1)\n```", ["print(1)"]),
    "Kimi: think": ("◁think▷```python\nbad()\n```◁/think▷```python\nprint(1)\n```", ["print(1)"]),
    "Magistral: THINK": ("[THINK]```python\nbad()\n```[/THINK]\n```python\nprint(1)\n```", ["print(1)"]),
    "gpt-oss: channels": (
        "<|channel|>analysis<|message|>```python\nbad()\n```<|end|><|start|>assistant<|channel|>final<|message|>```python\nprint(1)\n```<|return|>",
        ["print(1)"],
    ),
    "gpt-oss: commentary call": (
        '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.execute_python <|constrain|>json<|message|>{"code": "print(1)"}<|call|>',
        ["print(1)"],
    ),
    "Qwen, Hermes: tool_call": (
        'Go.\n<tool_call>\n{"name": "execute_python", "arguments": {"code": "x = 1\\nprint(x)"}}\n</tool_call>',
        ["x = 1\nprint(x)"],
    ),
    "Hermes: two tool calls": (
        '<tool_call>{"name": "execute_python", "arguments": {"code": "a()"}}</tool_call>\n<tool_call>{"name": "execute_python", "arguments": "{\\"code\\": \\"b()\\"}"}</tool_call>',
        ["a()", "b()"],
    ),
    "Qwen3-Coder: function and parameter": (
        "<tool_call>\n<function=execute_python>\n<parameter=code>\nif x:\n    y()\n</parameter>\n</function>\n</tool_call>",
        ["if x:\n    y()"],
    ),
    "Qwen3-Coder: opening tool_call forgotten": (
        "<function=execute_python>\n<parameter=code>\nprint(1)\n</parameter>\n</function>\n</tool_call>",
        ["print(1)"],
    ),
    "Llama 3: function with JSON": ('<function=execute_python>{"code": "print(1)"}</function>', ["print(1)"]),
    "Llama 3: bare JSON": ('{"name": "execute_python", "parameters": {"code": "print(1)"}}', ["print(1)"]),
    "GLM: arg_key and arg_value": (
        "<tool_call>execute_python\n<arg_key>code</arg_key>\n<arg_value>print(1)</arg_value>\n</tool_call>",
        ["print(1)"],
    ),
    "DeepSeek-V3": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>execute_python\n```json\n{"code": "print(1)"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        ["print(1)"],
    ),
    "DeepSeek-V3.1": ('<｜tool▁call▁begin｜>execute_python<｜tool▁sep｜>{"code": "print(1)"}<｜tool▁call▁end｜>', ["print(1)"]),
    "DeepSeek-V3.2: DSML": (
        '<｜DSML｜function_calls><｜DSML｜invoke name="execute_python"><｜DSML｜parameter name="code" string="true">print(1)</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>',
        ["print(1)"],
    ),
    "Kimi K2": (
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.execute_python:0<|tool_call_argument_begin|>{"code": "print(1)"}<|tool_call_end|><|tool_calls_section_end|>',
        ["print(1)"],
    ),
    "Mistral: TOOL_CALLS": ('[TOOL_CALLS][{"name": "execute_python", "arguments": {"code": "print(1)"}}]</s>', ["print(1)"]),
    "Mistral: ARGS": ('[TOOL_CALLS]execute_python[ARGS]{"code": "print(1)"}', ["print(1)"]),
    "tool call and fence with the same code": (
        '```python\nprint(1)\n```\n<tool_call>{"name": "execute_python", "arguments": {"code": "print(1)"}}</tool_call>',
        ["print(1)"],
    ),
    "real observation retold before the code": ("Observation: 3 rows.\n```python\nprint(1)\n```", ["print(1)"]),
    "smolagents with a stop sequence: bare Observation": ("```py\nprint(1)\n```\nObservation:", ["print(1)"]),
    "Windows newlines": ("Go\r\n```python\r\nif x:\r\n    y()\r\n```\r\n", ["if x:\n    y()"]),
    "byte order mark": ("\ufeff```python\nprint(1)\n```", ["print(1)"]),
    "zero-width spaces around fences": ("\u200b```python\u200b\nprint(1)\n\u200b```\u200b", ["print(1)"]),
    "non-breaking indentation": ("```python\nif x:\n\u00a0\u00a0\u00a0\u00a0y()\n```", ["if x:\n    y()"]),
    "non-breaking spaces in a string stay": ("```python\nx = '''\n\u00a0a'''\n```", ["x = '''\n\u00a0a'''"]),
    "smart quotes and tabs stay": ("```python\nx = “a”\t# b\n```", ["x = “a”\t# b"]),
    "NUL bytes": ("```python\npri\0nt(1)\n```", ["print(1)"]),
    "leaked end of turn": ("```python\nprint(1)\n```<|im_end|>", ["print(1)"]),
}


@pytest.mark.parametrize(("text", "expected"), WELL_FORMED.values(), ids=WELL_FORMED)
def test_code_is_found_without_a_note(text, expected):
    parsed = parse(text)
    assert codes(parsed) == expected
    assert parsed.notes == []
    assert parsed.answer is None
    assert not parsed.done


FLAWED = {
    "untagged code": ("```\nprint(1)\n```", ["print(1)"], [SAY.untagged]),
    "untagged output": ("```\n42\n```", [], [SAY.untagged_skipped]),
    "untagged text": ("```\nhello there\n```", [], [SAY.untagged_skipped]),
    "untagged shell": ("```\npip install x\n```", [], [SAY.untagged_skipped]),
    "bash": ("```bash\nls\n```", [], [SAY.shell]),
    "console": ("```console\n$ ls\n```\n```python\nprint(1)\n```", ["print(1)"], [SAY.shell]),
    "OpenHands: execute_bash": ("<execute_bash>\nls\n</execute_bash>", [], [SAY.shell]),
    "text block": ("```text\nprint(1)\n```", [], [SAY.no_code]),
    "empty block": ("```python\n\n```", [], [SAY.empty_block]),
    "empty execute": ("<execute></execute>", [], [SAY.empty_block]),
    "smolagents: imagined observation": (
        "```py\na()\n```\nObservation: 3\n\n```py\nb()\n```\n<answer>3</answer>",
        ["a()"],
        [SAY.imagined],
    ),
    "imagined observations, numbered as ours": ("```py\na()\n```\nObservation 1:\n3\n```py\nb()\n```", ["a()"], [SAY.imagined]),
    "Gemma: imagined output in bold": ("```python\na()\n```\n**Output:**\n```\n3\n```\n```python\nb()\n```", ["a()"], [SAY.imagined]),
    "imagined output block": ("```python\na()\n```\n```output\n3\n```\n```python\nb()\n```", ["a()"], [SAY.imagined]),
    "Qwen: imagined tool_response": (
        '<tool_call>{"name": "execute_python", "arguments": {"code": "a()"}}</tool_call>\n<tool_response>\n3\n</tool_response>\n<answer>3</answer>',
        ["a()"],
        [SAY.imagined],
    ),
    "unclosed fence": ("Go\n```python\nx = 1\nprint(x)", ["x = 1\nprint(x)"], [SAY.unclosed]),
    "unclosed fence, IPython": ("```python\n!ls\n%timeit f()", ["!ls\n%timeit f()"], [SAY.unclosed]),
    "unclosed fence and prose": ("```python\nprint(1)\n\nThis prints one.", [], [SAY.unclosed_invalid]),
    "unclosed fence, then another": ("```python\na()\n\n```python\nb()\n```", ["a()", "b()"], [SAY.loose]),
    "unclosed fence, then an answer": ("```python\na()\n<done/>", ["a()"], [SAY.loose]),
    "unclosed fence, then an imagined observation": ("```python\na()\nObservation: 3", ["a()"], [SAY.loose, SAY.imagined]),
    "unclosed execute": ("<execute>\nprint(1)", ["print(1)"], [SAY.unclosed]),
    "unclosed execute around a fence": ("<execute>\n```python\nprint(1)\n```\n", ["print(1)"], [SAY.loose]),
    "fence closed by execute": ("```python\nprint(1)\n</execute>", ["print(1)"], [SAY.loose]),
    "fence closed by a tag, then by a fence": ("```python\nprint(1)\n</execute>\n```\nSo", ["print(1)"], [SAY.loose]),
    "smolagents: code tag closed halfway": ("<code>\nprint(1)\n</code", ["print(1)"], []),
    "closing fence glued to the code": ("```python\nprint(1)```\nThen\n```python\nb()\n```", ["print(1)", "b()"], [SAY.loose]),
    "text after the closing fence": (
        "```python\nprint(1)\n``` This prints.\nAnd\n```python\nb()\n```",
        ["print(1)", "b()"],
        [SAY.loose],
    ),
    "closing fence indented as the code": ("```python\ndef f():\n    return 1\n    ```\nSo", ["def f():\n    return 1"], [SAY.loose]),
    "fence on one line": ("```python print(1)```", ["print(1)"], [SAY.loose]),
    "no code": ("I can't help with that.", [], [SAY.no_code]),
    "empty": (" \n ", [], [SAY.empty]),
    "only reasoning": ("<think>x\n```python\na()\n```</think>", [], [SAY.only_reasoning]),
    "reasoning never closed": ("<think>x\n", [], [SAY.unclosed_reasoning]),
    "reasoning never closed, an unfinished block in it": ("<think>x\n```python\na()", [], [SAY.unclosed_reasoning]),
    "reasoning never closed, a whole block after it": ("<think>x\n```python\na()\n```", ["a()"], [SAY.reasoning_left_open]),
    "reasoning closed at the end": ("x\n```python\na()\n```\n</think>", [], [SAY.only_reasoning]),
    "broken tool_call": ("<tool_call>\n{nonsense\n</tool_call>", [], [SAY.bad_arguments]),
    "Llama: python_tag": ("<|python_tag|>print(1)<|eom_id|>", ["print(1)"], [SAY.raw_arguments]),
    "Qwen3-Coder: parameter never closed": ("<function=execute_python>\n<parameter=code>\nprint(", [], [SAY.unclosed_invalid]),
}


@pytest.mark.parametrize(("text", "expected", "notes"), FLAWED.values(), ids=FLAWED)
def test_flaws_are_noted(text, expected, notes):
    parsed = parse(text)
    assert codes(parsed) == expected
    assert parsed.notes == notes


def test_text_written_as_gpt_oss_python_tool_runs_with_a_note_on_the_name():
    parsed = parse("<|channel|>analysis to=python code<|message|>print(1)<|call|>")
    assert codes(parsed) == ["print(1)"]
    assert parsed.notes[0].startswith("There is no tool 'python'")


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1",
        "<execute>\nx = 1",
        "```\nx = 1",
        "<tool_call>{",
        "<function=execute_python><parameter=code>x = 1",
        "<answer>4",
        "<think>hm",
        "",
    ],
)
def test_what_the_token_limit_cut_off_is_not_used(text):
    parsed = parse(text, finish_reason="length")
    assert parsed.actions == []
    assert not parsed.done
    assert parsed.notes == [SAY.cut_off]


def test_what_was_finished_before_the_token_limit_is_run():
    parsed = parse("```python\na()\n```\n```python\nb(", finish_reason="length")
    assert codes(parsed) == ["a()"]
    assert parsed.notes == [SAY.cut_off]


ANSWERS = {
    "answer": ("<answer> 42\n</answer>", "42"),
    "CodeAct: solution": ("So <solution>42</solution>", "42"),
    "final_answer": ("<final_answer>42</final_answer>", "42"),
    "capitals": ("<Answer>42</Answer>", "42"),
    "closed by another name": ("<solution>42</answer>", "42"),
    "with a fence, which is not run": ("<answer>\n```python\nbad()\n```\n</answer>", "```python\nbad()\n```"),
    "named before": ("I will use <answer> tags. <answer>42</answer>", "42"),
    "after thought": ("<think><answer>1</answer></think><answer>42</answer>", "42"),
    "the last of several": ("<answer>1</answer> no, <answer>42</answer>", "42"),
    "Hermes: finish": ('<tool_call>{"name": "finish", "arguments": {"answer": "42"}}</tool_call>', "42"),
    "done": ("All set. <done/>", None),
    "done, with a space": ("<done />", None),
    "done, never closed": ("<done>", None),
    "done, closed": ("<done></done>", None),
    "OpenHands: finish": ("<finish></finish>", None),
}


@pytest.mark.parametrize(("text", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_answers(text, answer):
    assert parse(text) == ParsedReply(actions=[], answer=answer, done=True, notes=[])


def test_an_unclosed_answer_goes_to_the_end():
    assert parse("So <answer>42\n```\nx\n```") == ParsedReply(actions=[], answer="42\n```\nx\n```", done=True, notes=[SAY.unclosed_answer])


def test_code_and_answer_are_both_given():
    parsed = parse("```python\na()\n```\n<answer>42</answer>")
    assert (codes(parsed), parsed.answer, parsed.done) == (["a()"], "42", True)


@pytest.mark.parametrize("text", ["Well.\nFINAL ANSWER: 42", "**Final Answer:** 42", "Thought: so.\nFinal Answer:\n42\n"])
def test_a_final_answer_line_counts_with_a_note(text):
    assert parse(text) == ParsedReply(actions=[], answer="42", done=True, notes=[SAY.untagged_answer])


def test_a_final_answer_line_does_not_count_beside_code():
    parsed = parse("```python\na()\n```\nFINAL ANSWER: 42")
    assert (codes(parsed), parsed.answer, parsed.done) == (["a()"], None, False)


def test_reasoning_in_its_own_channel_is_not_an_empty_reply():
    assert parse(reasoning="hm").notes == [SAY.only_reasoning]


CALLS = {
    "JSON": ('{"code": "x = 1\\nprint(x)"}', "x = 1\nprint(x)", []),
    "newlines not escaped": ('{"code": "x = 1\nprint(x)"}', "x = 1\nprint(x)", []),
    "encoded twice": (json.dumps(json.dumps({"code": "print(1)"})), "print(1)", []),
    "trailing comma": ('{"code": "print(1)",}', "print(1)", []),
    "Python quotes": ("{'code': 'print(1)'}", "print(1)", []),
    "Python triple quotes": ('{"code": """\nprint(1)\n"""}', "print(1)", []),
    "DeepSeek-R1: json prefix": ('json\n{"code": "print(1)"}', "print(1)", []),
    "fenced JSON": ('```json\n{"code": "print(1)"}\n```', "print(1)", []),
    "a fence in the code": ('{"code": "```python\\nprint(1)\\n```"}', "print(1)", []),
    "lone surrogate": ('{"code": "print(\'\\ud800\')"}', "print('?')", []),
    "raw code": ("x = 1\nprint(x)", "x = 1\nprint(x)", [SAY.raw_arguments]),
    "raw code in a fence": ("```python\nprint(1)\n```", "print(1)", [SAY.raw_arguments]),
    "code as a JSON string": ('"print(1)"', "print(1)", [SAY.raw_arguments]),
    "newlines escaped twice": ('{"code": "x = 1\\\\nprint(x)"}', "x = 1\nprint(x)", [SAY.escaped_newlines]),
    "an escaped newline that is meant": ('{"code": "print(\'a\\\\nb\')"}', "print('a\\nb')", []),
    "unknown argument": ('{"code": "print(1)", "timeout": 5}', "print(1)", ["execute_python takes only code: timeout was ignored."]),
    "broken": ('{"code": "print(1', None, [SAY.bad_arguments]),
    "two objects": ('{"code": "a("}{"code": "b("}', None, [SAY.bad_arguments]),
    "nothing": ("", None, [SAY.no_code_argument]),
    "no code": ('{"source": "print(1)"}', None, [SAY.no_code_argument]),
    "code is no text": ('{"code": 1}', None, [SAY.no_code_argument]),
    "empty code": ('{"code": " "}', None, [SAY.empty_block]),
}


@pytest.mark.parametrize(("arguments", "code", "notes"), CALLS.values(), ids=CALLS)
def test_native_calls(arguments, code, notes):
    parsed = parse(calls=[("execute_python", arguments)])
    assert [(action.code, action.source, action.call_id) for action in parsed.actions] == ([(code, "tool_call", "call_0")] if code else [])
    assert parsed.notes == notes


@pytest.mark.parametrize("arguments", ['{"code": "print(1', "x = 1"])
def test_a_native_call_cut_off_is_not_run(arguments):
    parsed = parse(calls=[("execute_python", arguments)], finish_reason="length")
    assert (parsed.actions, parsed.notes) == ([], [SAY.cut_off])


def test_every_native_call_has_its_own_action():
    parsed = parse(calls=[("execute_python", '{"code": "a()"}'), ("execute_python", '{"code": "a()"}')])
    assert [action.call_id for action in parsed.actions] == ["call_0", "call_1"]


def test_an_unknown_tool_is_noted():
    parsed = parse(calls=[("web_search", "{}")])
    assert parsed.actions == []
    assert parsed.notes == ["There is no tool 'web_search': the tools are execute_python(code) and finish(answer)."]


def test_gpt_oss_marker_in_the_tool_name():
    assert codes(parse(calls=[("execute_python<|channel|>commentary", '{"code": "a()"}')])) == ["a()"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ('{"answer": " 42 "}', "42"),
        ('{"answer": 42}', "42"),
        ('{"answer": {"a": [1]}}', '{"a": [1]}'),
        ("{}", None),
        ("", None),
        ('"42"', "42"),
    ],
)
def test_finish(arguments, answer):
    assert parse(calls=[("finish", arguments)]) == ParsedReply(actions=[], answer=answer, done=True, notes=[])


@pytest.mark.parametrize("arguments", ['{"answer": "4', '{"result": 42}'])
def test_finish_that_cannot_be_read_does_not_finish(arguments):
    parsed = parse(calls=[("finish", arguments)])
    assert not parsed.done
    assert len(parsed.notes) == 1


def test_code_in_a_fence_and_in_a_call_runs_once():
    parsed = parse("I run\n```\nx  = 1\n```", calls=[("execute_python", '{"code": "x = 1"}')])
    assert [(action.code, action.call_id) for action in parsed.actions] == [("x = 1", "call_0")]
    assert parsed.notes == []


def test_other_code_beside_a_call_is_not_run():
    parsed = parse("```python\na()\n```", calls=[("execute_python", '{"code": "b()"}')])
    assert (codes(parsed), parsed.notes) == (["b()"], [SAY.beside_call])


def test_a_fence_beside_a_call_that_cannot_be_read_is_run():
    parsed = parse("```python\na()\n```", calls=[("execute_python", '{"code": "b(')])
    assert (codes(parsed), parsed.notes) == (["a()"], [SAY.bad_arguments])


def test_a_fence_beside_finish_is_run():
    parsed = parse("```python\na()\n```", calls=[("finish", '{"answer": "1"}')])
    assert (codes(parsed), parsed.answer, parsed.done) == (["a()"], "1", True)


# Properties

SNIPPETS = [
    "x = 1",
    "import os",
    "for i in range(3):\n    print(i)",
    "def f(a, b=2):\n    '''Say.\n\n    ```python\n    f(1)\n    ```\n    '''\n    return a",
    'readme = """\n# Title\n```bash\nmake\n```\n"""',
    "fence = '```'",
    "tildes = '''\n~~~\n'''",
    "# ``` in a comment",
    "print('<answer>1</answer>')",
    "tags = '''\n</tool_call>\n'''",
    "tags = '''\n<execute>\nprint(1)\n</execute>\n'''",
    "mind = '<think>x</think>'",
    "mind = '''\n</think>\n'''",
    "markdown = f'''\n```python\n{x}\n```\n'''",
    "told = '''\nObservation: 3\n'''",
    "spaces = '''\n   \n  x  \n'''",
    "if x:\n\n    y = {'a': [1, 2]}\n\n",
    "é = 'ü\u00a0“'",
    "async def g():\n    await h()",
    "\tz = 1".strip(),
]
programs = (
    st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=8)
    .map("\n".join)
    .map(lambda code: code.strip("\n"))
    .filter(lambda code: ast.parse(code) is not None)
)
sentences = st.text(alphabet=string.ascii_letters + string.digits + " .,:;!?'\"()-*_#\n", max_size=200).filter(
    lambda text: "answer" not in text.lower() and "output" not in text.lower()
)


def fenced(code: str) -> str:
    return f"```python\n{code}\n```\n"


def executed(code: str) -> str:
    return f"<execute>\n{code}\n</execute>\n"


def called(code: str) -> str:
    return "<tool_call>\n" + json.dumps({"name": "execute_python", "arguments": {"code": code}}) + "\n</tool_call>\n"


@given(code=programs, render=st.sampled_from([fenced, executed, called]), before=sentences, after=sentences)
@settings(max_examples=300, deadline=None)
def test_a_valid_program_comes_back_as_it_was(code, render, before, after):
    parsed = parse(f"{before}\n{render(code)}{after}")
    assert codes(parsed) == [code]
    assert parsed.notes == []


@given(code=programs)
@settings(deadline=None)
def test_a_valid_program_comes_back_from_a_native_call(code):
    assert codes(parse(calls=[("execute_python", json.dumps({"code": code}))])) == [code]


@given(first=programs, second=programs, between=sentences)
@settings(deadline=None)
def test_two_programs_come_back_in_order(first, second, between):
    assert codes(parse(f"{fenced(first)}{between}\n{executed(second)}")) == ([first, second] if first != second else [first])


PIECES = [
    *("```", "```python\n", "```\n", "~~~\n", "````py\n", "\n", " ", "`", "x = 1\n", "'''", '"', "print(1)", "%%bash\n", "!ls\n"),
    *("<execute>", "</execute>", "<code>", "</code>", "<think>", "</think>", "<answer>", "</answer>", "<done/>", "<finish>"),
    *("<tool_call>", "</tool_call>", '{"name": "execute_python", "arguments": {"code": "x"}}', "<function=finish>", "<parameter=code>"),
    *("<|channel|>analysis<|message|>", "<|end|>", "[TOOL_CALLS]", "<arg_key>code</arg_key><arg_value>", "</parameter>", "</function>"),
    *("Observation: 1\n", "FINAL ANSWER: ", "- ", "1. ", "\r\n", "\0", "\ufeff", "\u200b", "\u00a0", "\ud800", "```markdown\n", "prose "),
]


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40), finish_reason=st.sampled_from(["stop", "length"]))
@settings(max_examples=1000, deadline=None)
@example(pieces=["```python\n", "<execute>"], finish_reason="stop")
def test_any_mixture_is_parsed(pieces, finish_reason):
    parsed = parse("".join(pieces), finish_reason=finish_reason)
    assert parsed.actions or parsed.done or parsed.notes
    assert all(action.code.strip() for action in parsed.actions)
    assert all("\n" not in note for note in parsed.notes)


@given(st.text(), st.text(), st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_parsed(text, name, arguments):
    parse(text, calls=[(name, arguments), ("execute_python", arguments), ("finish", arguments)])


@given(st.lists(sentences, max_size=20))
@settings(deadline=None)
def test_prose_has_no_actions(pieces):
    assert parse(" ".join(pieces)).actions == []


MEGABYTE = 1_000_000
HOSTILE = {
    "backticks": "`" * 100_000,
    "backticks, spaced": "` " * 500_000,
    "backticks, one a line": "```\n" * 250_000,
    "longer and longer fences": "".join("`" * n + "python\n" for n in range(3, 1400)),
    "shorter and shorter fences": "".join("`" * n + "python\n" for n in range(1400, 3, -1)),
    "openers": "```python\n" * 100_000,
    "openers with code": "```python\nx = 1\n" * 60_000,
    "long openers, short closers": "````python\nx(\n```\n" * 50_000,
    "open strings": "```python\nx = '''\n```\n" * 50_000,
    "open strings, even": "```python\nx = '\n```\n" * 50_000,
    "markdown in markdown": "```markdown\n" * 80_000,
    "magics in cells": "```python\n%%bash\n```sh\n" * 50_000,
    "execute": "<execute>" * 50_000,
    "execute lines": "<execute>\n" * 50_000,
    "execute with quotes": "<execute>'</execute>" * 50_000,
    "code": "<code>\n" * 50_000,
    "answers": "<answer>" * 50_000,
    "answers, closed at the end": "<answer>" * 50_000 + "</answer>",
    "thoughts": "<think>" * 50_000,
    "closed thoughts": "<think></think>" * 50_000,
    "stray ends of thoughts": "a</think>" * 50_000,
    "channels": "<|channel|>analysis<|message|>" * 30_000,
    "half channels": "<|channel|>" * 90_000,
    "tool calls": "<tool_call>" * 90_000,
    "function calls": "<function=f>" * 80_000,
    "parameters": "<function=execute_python>" + "<parameter=code>" * 60_000,
    "angles": "<" * MEGABYTE,
    "spaces": " " * MEGABYTE,
    "lines": "\n" * MEGABYTE,
    "spaces before a fence": (" " * 1000 + "```python\n") * 1000,
    "list markers": "- " * 500_000,
    "numbers": "1. " * 300_000,
    "done and spaces": ("<done>" + " " * 1000) * 1000,
    "brackets in code": "```python\n" + "(" * MEGABYTE + "\n```",
    "minus signs in code": "```python\n" + "-" * 200_000 + "1\n```",
    "calls in code": "```python\nf" + "()" * 200_000 + "\n```",
    "one long program": "```python\n" + "x = foo(a, b) + 'abc'\n" * 45_000 + "```",
    "one long program without end": "```python\n" + "x = foo(a, b) + 'abc'\n" * 45_000,
    "shell commands": "```python\n" + "!ls \\\n" * 150_000 + "```",
    "short shell commands": "```python\n" + "!\n" * 500_000,
    "broken tool calls": "<tool_call>x</tool_call>" * 40_000,
    "questions": "```python\n" + "a" * 500_000 + " ?\n```",
    "json": '{"name": ' * 100_000,
    "arrays": "[TOOL_CALLS]" + "[" * 500_000,
    "final answers": "FINAL ANSWER: \n" * 60_000,
    "outputs": "```python\na()\n```\n" + "Output: \n" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_ten_times_the_text_takes_about_ten_times_the_time(text):
    def took(size: int) -> float:
        seconds = []
        for _ in range(2):
            began = time.thread_time()
            parse(text[:size])
            seconds.append(time.thread_time() - began)
        return min(seconds)

    # a quadratic search would need a hundred times as long
    assert took(100_000) < 40 * max(took(10_000), 0.003)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_bounded_time(text):
    began = time.thread_time()
    parse(text)
    parse(calls=[("execute_python", text), ("finish", text)])
    assert time.thread_time() - began < 20
