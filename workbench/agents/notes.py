"""What a model is told about its reply, in the format that it was asked for.

A model that is asked for tool calls is never told to write fences, and one that is asked for ``<done/>`` never to write an
answer: a note that contradicts the prompt makes a small model do neither.
"""

from __future__ import annotations

from dataclasses import dataclass

PYTHON_TOOL = "execute_python"
FINISH_TOOL = "finish"

_CALL = f'call {PYTHON_TOOL} with JSON such as {{"code": "1 + 1"}}'


@dataclass(frozen=True)
class Notes:
    """The notes for one format.

    Parameters
    ----------
    tool : bool
        Whether code is asked for as calls of the tool ``execute_python``, or else in fences.
    done : bool
        Whether the end is said with ``<done/>``, or else with an answer.

    Examples
    --------
    >>> Notes().no_code
    'No code was found in your reply: reply with one ```python block to act, or with <answer>...</answer> to finish.'
    >>> Notes(tool=True, done=True).no_code
    'No code was found in your reply: call execute_python to act, or reply with <done/> to finish.'
    """

    tool: bool = False
    done: bool = False

    def _fit(self, fence: str, call: str) -> str:
        return call if self.tool else fence

    @property
    def _finish(self) -> str:
        return "<done/>" if self.done else "<answer>...</answer>"

    @property
    def _act_or_finish(self) -> str:
        return self._fit(
            f"reply with one ```python block to act, or with {self._finish} to finish",
            f"call {PYTHON_TOOL} to act, or reply with {self._finish} to finish",
        )

    @property
    def _repair(self) -> str:
        """How a block of code that was not well-formed should have been written."""
        return self._fit("close it with ``` on a line of its own", _CALL)

    @property
    def no_code(self) -> str:
        """Neither code nor an end was found."""
        return f"No code was found in your reply: {self._act_or_finish}."

    @property
    def empty(self) -> str:
        """There was no reply."""
        return f"Your reply was empty: {self._act_or_finish}."

    @property
    def only_reasoning(self) -> str:
        """There was nothing but reasoning."""
        return f"Your reply held only reasoning, which is never run: after it, {self._act_or_finish}."

    @property
    def unclosed_reasoning(self) -> str:
        """Reasoning never ended, and held no whole block."""
        return f"Your reasoning was not closed, and nothing in it was run: end it with </think>, then {self._act_or_finish}."

    @property
    def reasoning_left_open(self) -> str:
        """Reasoning never ended, and the whole blocks after its beginning were taken."""
        return "Your reasoning was not closed, so what followed was taken as your reply: end reasoning with </think> before you act."

    @property
    def cut_off(self) -> str:
        """The token limit ended the reply."""
        return (
            "Your reply was cut off at the token limit, so its unfinished part was not used: write less at once, in shorter pieces of code."
        )

    @property
    def too_much(self) -> str:
        """A reply had more parts than are read."""
        return "Your reply had so many parts that only its beginning was read: write less at once."

    @property
    def empty_block(self) -> str:
        """A block or a call had no code."""
        return self._fit("An empty code block was ignored: put Python code between ```python and ```.", f"Empty code was ignored: {_CALL}.")

    @property
    def untagged(self) -> str:
        """A block of no language was run."""
        how = self._fit("open code blocks with ```python", f"call {PYTHON_TOOL} instead")
        return f"A code block without a language was run as Python: {how}."

    @property
    def untagged_skipped(self) -> str:
        """A block of no language was not run."""
        how = self._fit("open code blocks with ```python", f"call {PYTHON_TOOL} to run code")
        return f"A code block without a language did not look like Python and was not run: {how}."

    @property
    def unclosed(self) -> str:
        """A block without an end was run."""
        return f"Your code block was not closed and was run to the end of your reply: {self._repair}."

    @property
    def unclosed_invalid(self) -> str:
        """A block without an end was not run."""
        return f"Your code was not closed and what follows is not valid Python, so nothing was run: {self._repair}."

    @property
    def loose(self) -> str:
        """A block had an end where it should not be."""
        how = self._fit("put the closing ``` on a line of its own, with nothing before or after it", _CALL)
        return f"Your code block was not closed properly: {how}."

    @property
    def shell(self) -> str:
        """A shell block was not run."""
        where = self._fit("inside a ```python block", f"in the code of {PYTHON_TOOL}")
        return f"Shell blocks are not run: use subprocess.run(...) or !command {where}."

    @property
    def imagined(self) -> str:
        """The model went on with an output of its own making."""
        return "You wrote the output yourself, so what came after it was ignored: stop after your code and wait for the real output."

    @property
    def beside_call(self) -> str:
        """Code in the text differs from the code that was called."""
        return f"Code blocks beside a call of {PYTHON_TOOL} were not run: put all the code into the call."

    @property
    def bad_arguments(self) -> str:
        """A call could not be read."""
        how = self._fit("write the code in one ```python block", f"{_CALL}, newlines written as \\n")
        return f"The arguments of {PYTHON_TOOL} could not be read: {how}."

    @property
    def raw_arguments(self) -> str:
        """A call held code in place of JSON."""
        return f"The arguments of {PYTHON_TOOL} were taken as code: {self._fit('write it in one ```python block', _CALL)}."

    @property
    def no_code_argument(self) -> str:
        """A call held no code."""
        return f"{PYTHON_TOOL} was called without code: {self._fit('write the code in one ```python block', _CALL)}."

    @property
    def escaped_newlines(self) -> str:
        """Code was escaped twice and has been repaired."""
        return "The code was escaped twice and has been repaired: in the JSON, write a newline as \\n, not as \\\\n."

    @property
    def unescaped_quotes(self) -> str:
        """Code was not escaped and has been repaired."""
        how = self._fit("write code in a ```python block, where nothing is escaped", 'in the JSON, write a quote as \\"')
        return f"The code in your call was not escaped and has been repaired: {how}."

    def unknown_argument(self, names: str) -> str:
        """Say that a call had arguments that do not exist."""
        return f"{PYTHON_TOOL} takes only code: {names} was ignored."

    def unknown_tool(self, name: str) -> str:
        """Say which tools there are."""
        return f"There is no tool {name!r}: the tools are {PYTHON_TOOL}(code) and {FINISH_TOOL}({'' if self.done else 'answer'})."

    @property
    def unclosed_answer(self) -> str:
        """An answer without an end was taken."""
        if self.done:
            return "Your answer was taken as the end: to finish, reply with <done/>."
        return "Your answer was not closed: end it with </answer>."

    @property
    def untagged_answer(self) -> str:
        """An answer without tags was taken."""
        if self.done:
            return "Your final answer was taken as the end: to finish, reply with <done/>."
        return "Your final answer was taken, but put it in tags: <answer>...</answer>."

    @property
    def no_answer(self) -> str:
        """What stood in an answer's place was none."""
        what = "reply with <done/> when everything is in place" if self.done else "put the answer itself between <answer> and </answer>"
        return f"Your reply held an empty answer or the placeholder of the instructions, which does not count: {what}."

    @property
    def bad_finish(self) -> str:
        """A call of the tool that finishes could not be read."""
        return f"The arguments of {FINISH_TOOL} could not be read: reply with {self._finish} to finish."

    @property
    def early(self) -> str:
        """The model said that it has finished, and then went on with code."""
        return f"You finished before code in the same reply, which does not count: to finish, reply with {self._finish} and no code."

    @property
    def failed(self) -> str:
        """The model said that it has finished, but its code failed."""
        return "your last code raised an error, so the task is not finished yet: look at it, then finish without code in the same reply"

    @property
    def answer_needed(self) -> str:
        """The model said that it has finished, but gave no answer."""
        return "this task needs an answer: finish with <answer>...</answer>, your answer in place of the dots"

    def nothing_handed_in(self, missing: str) -> str:
        """Say what is missing where a model says that it has finished."""
        return f"nothing is handed in yet: {missing}; go on, or reply with {self._finish} once more to finish as it is"
