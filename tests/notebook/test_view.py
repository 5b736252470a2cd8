"""What a notebook shows of a run while it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from workbench import background
from workbench.events import ActionTaken, ModelCalled, Observed, RunFinished, StepFinished
from workbench.messages import Usage
from workbench.notebook.feed import Feed
from workbench.notebook.view import LiveView
from workbench.observation import Observation, Output

CODE = "print('one')"
REPLY = f"I count.\n```python\n{CODE}\n```"


@pytest.fixture
def displays(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each display has shown, one text after the other."""
    made: list[list[str]] = []

    class Handle:
        def __init__(self) -> None:
            self.shown: list[str] = []
            made.append(self.shown)

        def update(self, bundle: dict[str, str], **_: Any) -> None:
            self.shown.append(bundle["text/plain"])

    def display(bundle: dict[str, str], **_: Any) -> Handle:
        handle = Handle()
        handle.update(bundle)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    return made


def called(step: int, text: str) -> ModelCalled:
    return ModelCalled(step=step, prompt=[], text=text, finish_reason="stop", usage=Usage(), cost_usd=None, attempts=[], seconds=1.0)


def said(text: str) -> Output:
    return Output(kind="stdout", data={"text/plain": text})


def test_text_and_outputs_appear_while_they_arrive_and_stay_once(displays: list[list[str]]) -> None:
    view = LiveView()
    view.text(REPLY[:5])
    assert displays[0][-1] == REPLY[:5]
    view.text(REPLY[5:])
    assert displays[0][-1] == REPLY
    view.show(called(1, REPLY))
    view.show(ActionTaken(step=1, index=0, code=CODE, source="fence"))
    view.outputs([said("o"), said("ne")])
    assert displays[0][-1].endswith("one") and displays[0][-1].count("one") == 2
    view.show(Observed(step=1, index=0, observation=Observation(status="ok", outputs=[said("one\n")])))
    assert displays[0][-1].count("one") == 2
    view.show(StepFinished(step=1, notes=[]))
    view.text("And")
    assert displays[0][-1].count("And") == 0 and displays[1] == ["And"]


def test_a_flood_is_shown_by_its_end(displays: list[list[str]]) -> None:
    view = LiveView()
    for number in range(50):
        view.text(f"{number}" * 1000)
        view.outputs([said(f"{number}" * 1000), Output(kind="display", data={"text/plain": "figure"})])
    assert max(map(len, displays[0])) < 100_000 and displays[0][-1].count("49") >= 1000


def test_what_was_shown_stays_after_an_interrupt(displays: list[list[str]]) -> None:
    view = LiveView()
    view.text("half a thou")
    view.show(RunFinished(status="interrupted", success=None, steps=0, tokens=0, cost_usd=None, seconds=1.0))
    assert "half a thou" in displays[0][-1] and "interrupted" in displays[0][-1]


def test_pieces_of_a_moment_are_displayed_together_and_in_order(displays: list[list[str]]) -> None:
    calls = background.Calls()
    listeners = Feed(LiveView(), calls).listeners

    async def run() -> None:
        for piece in REPLY:
            listeners["on_text"](piece)
        listeners["on_event"](called(1, REPLY))
        for piece in "many":
            listeners["on_output"](said(piece))
        listeners["on_event"](Observed(step=1, index=0, observation=Observation(status="ok", outputs=[said("many")])))

    background.wait(run(), calls)
    assert displays == [[REPLY, "step 1", "step 1\nmany", "step 1\nmany"]]
