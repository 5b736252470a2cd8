"""What a run came to, in a terminal and on a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import Failure
from workbench.result import RunResult, Score
from workbench.text import shown


def result(**more: Any) -> RunResult:
    return RunResult(
        **{
            "run_id": "r1",
            "task": "a/b",
            "variant": {},
            "agent": "codeact",
            "model": "nop",
            "sandbox": "local",
            "status": "completed",
            "success": False,
            "steps": 2,
            "tokens": 30,
            "cost_usd": 0.25,
            "seconds": 1.25,
            "store": "runs.duckdb",
            **more,
        }
    )


class Page(HTMLParser):
    """Reads a table into rows and notes every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data

    def __getitem__(self, name: str) -> str:
        return dict(self.rows)[name]

    def __contains__(self, name: str) -> bool:
        return name in dict(self.rows)


def page(shown: RunResult) -> Page:
    return Page(shown._repr_mimebundle_()["text/html"])


@pytest.mark.parametrize(("success", "verdict"), [(True, "solved"), (False, "not solved"), (None, "not graded")])
def test_the_verdict_has_three_words(success: bool | None, verdict: str) -> None:
    assert result(success=success).verdict == verdict
    assert verdict in repr(result(success=success))
    assert page(result(success=success))["verdict"] == verdict


@pytest.mark.parametrize(("steps", "text"), [(0, "0 steps"), (1, "1 step)"), (2, "2 steps)")])
def test_steps_are_counted_in_english(steps: int, text: str) -> None:
    assert text in repr(result(steps=steps))


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score(metric="rmse", value=57.123456, normalised=0.5), "rmse 57.12"),
        (Score(metric="rmse", value=0.0, normalised=0.0), "rmse 0"),
        (Score(metric="rmse", value=None, normalised=None), None),
        (None, None),
    ],
)
def test_the_score_is_shown_where_there_is_one(score: Score | None, text: str | None) -> None:
    shown = result(score=score)
    if text is None:
        assert "rmse" not in repr(shown)
        assert "score" not in page(shown)
    else:
        assert text in repr(shown)
        assert page(shown)["score"] == text.replace(" ", " = ")


def test_a_page_says_everything_that_is_known() -> None:
    shown = result(
        variant={"level": "lazy"},
        status="limit",
        limit="steps",
        answer="42",
        invalid="out.csv does not exist",
        error=Failure(kind="model", message="no reply", hint="set a key"),
    )
    found = page(shown)
    assert dict(found.rows) == {
        "task": "a/b [level: lazy]",
        "model": "nop (codeact, sandbox local)",
        "status": "limit: steps",
        "verdict": "not solved (out.csv does not exist)",
        "answer": "42",
        "error": "model: no reply (set a key)",
        "used": "2 steps, 30 tokens, 0.2500 USD, 1.2 s",
        "run": "r1",
    }


def test_a_cost_nobody_knows_is_not_shown() -> None:
    assert "USD" not in page(result(cost_usd=None))["used"]
    assert "0.0000 USD" in page(result(cost_usd=0.0))["used"]


hostile = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</td></tr></table><img src=x onerror=alert(1)>",
        "&lt;b&gt;",
        "\"'><b>",
        "<!--",
        "<![CDATA[",
        "&#60;script&#62;",
    ]
)


@given(text=hostile)
def test_nothing_an_agent_wrote_becomes_part_of_the_page(text: str) -> None:
    found = page(
        result(
            answer=text,
            invalid=text or None,
            model=text,
            task=text,
            run_id=text,
            variant={text: text},
            error=Failure(kind="model", message=text, hint=text),
        )
    )
    assert found.tags == {"table", "tr", "th", "td"}
    assert found.attributes == {"style"}
    if text:
        assert all(len(row) == 2 for row in found.rows)


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_an_answer_is_shown_as_it_was_written(text: str) -> None:
    assert page(result(answer=text))["answer"] == shown(text)


def test_text_is_the_same_everywhere() -> None:
    shown = result()
    assert (
        str(shown) == repr(shown) == shown._repr_mimebundle_()["text/plain"] == "RunResult(r1: a/b by nop, completed, not solved, 2 steps)"
    )


def test_a_branch_names_its_parent() -> None:
    assert page(result(parent_run="r0", parent_step=3))["branch of"] == "r0, step 3"


def test_it_is_one_json_document() -> None:
    shown = result(score=Score(metric="rmse", value=1.5, normalised=None), error=Failure(kind="task", message="x"))
    document = json.loads(shown.model_dump_json())
    assert RunResult.model_validate(document) == shown
    promised = {"run_id", "task", "variant", "agent", "model", "sandbox", "status", "error", "success", "score", "steps", "tokens"}
    assert promised | {"cost_usd", "seconds"} <= set(document)
    assert set(document["score"]) == {"metric", "value", "normalised"}
    assert set(document["error"]) == {"kind", "message", "hint"}
