"""What a model is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.agents.show import TEXT_SIZE, as_text, trim_traceback
from workbench.observation import NamespaceChange, Observation, Output, PythonError


def test_long_output_is_cut_in_the_middle_with_a_count():
    text = "a" * 50_000 + "b" * 50_000
    shown = as_text(Observation(status="ok", outputs=[Output(kind="stdout", data={"text/plain": text})]), sees_images=False)
    assert shown.startswith("aaa") and shown.endswith("bbb")
    kept = shown.count("a") + shown.count("b") - "[... characters cut ...]".count("a")
    assert f"{100_000 - kept} characters cut" in shown


def test_changes_of_the_namespace_are_listed():
    changes = [NamespaceChange(name="df", change="new", summary="DataFrame 3 x 2"), NamespaceChange(name="x", change="deleted")]
    shown = as_text(Observation(status="ok", namespace=changes), sees_images=False)
    assert "df (DataFrame 3 x 2)" in shown and "deleted: x" in shown


def test_what_the_sandbox_did_is_told():
    shown = as_text(Observation(status="died", note="the kernel died: memory limit", dropped_bytes=7), sees_images=False)
    assert "memory limit" in shown and "7 bytes" in shown


def test_frames_of_the_users_code_are_kept():
    error = PythonError(
        name="ValueError",
        value="bad",
        traceback="ValueError  Traceback (most recent call last)\nCell In[3], line 2\n      1 a = 1\n----> 2 f(a)\n\n"
        "File /workspace/mine.py:7, in f(x)\n      6 def f(x):\n----> 7     g(x)\n\nFile /e/site-packages/pandas/x.py:1, in g(x)\n"
        "----> 1 raise ValueError\n\nValueError: bad",
    )
    shown = trim_traceback(error)
    assert "Cell In[3], line 2" in shown and "mine.py:7" in shown and "raise ValueError" not in shown
    assert shown.endswith("ValueError: bad")


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400))
def test_any_error_can_be_shown_within_the_budget(name, value, traceback):
    error = PythonError(name=name, value=value, traceback=traceback)
    shown = as_text(Observation(status="error", error=error), sees_images=False)
    assert len(shown) <= TEXT_SIZE + 200
