"""Syntax trees, made in several threads at once."""

from __future__ import annotations

import ast
import gc
import inspect
import sys
import threading
from collections.abc import Iterator

import pytest

from workbench import syntax


@pytest.fixture
def _others_in_between() -> Iterator[None]:
    """Have the collector run Python in the middle of whatever is made, so that threads take turns there."""
    before, interval = gc.get_threshold(), sys.getswitchinterval()

    def callback(*_: object) -> None:
        sum(range(50))

    gc.callbacks.append(callback)
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    yield
    gc.callbacks.remove(callback)
    gc.set_threshold(*before)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_others_in_between")
def test_threads_do_not_disturb_each_other() -> None:
    source, failures = inspect.getsource(ast)[:30_000].rpartition("\n\n\n")[0], []

    def work() -> None:
        try:
            for _ in range(5):
                assert syntax.parse(source).body
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_goes_wrong_elsewhere_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [SystemError("AST constructor recursion depth mismatch")] * 2

    def parse(source: str) -> ast.Module:
        if left:
            raise left.pop()
        return ast.Module([], [])

    monkeypatch.setattr(syntax, "ast", type("Ast", (), {"parse": staticmethod(parse)}))
    assert isinstance(syntax.parse("x"), ast.Module)


def test_what_is_no_python_says_so_at_once() -> None:
    with pytest.raises(SyntaxError):
        syntax.parse("x =")


@pytest.mark.parametrize(("text", "value"), [("1", 1), (" {'a': (1, None)}\n", {"a": (1, None)}), ("'x'", "x")])
def test_a_literal(text: str, value: object) -> None:
    assert syntax.literal(text) == value


@pytest.mark.parametrize("text", ["", "1\n2", "x = 1", "f()", "a", "__import__('os')"])
def test_what_is_no_literal_is_refused_and_not_run(text: str) -> None:
    with pytest.raises(ValueError):
        syntax.literal(text)
