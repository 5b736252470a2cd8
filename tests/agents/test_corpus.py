"""Replies as models of many families write them, and what must be read in each.

The files in ``replies/`` are lists of tables. ``text`` is the reply; ``calls``, ``reasoning`` and ``finish_reason`` are
what came beside it. ``code``, ``answer`` and ``done`` are what must be read, and ``notes`` what the model must be told:
names of :class:`workbench.agents.notes.Notes`, with an argument after a colon.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.agents.notes import Notes
from workbench.agents.replies import parse_reply
from workbench.messages import Reply, ToolCall

FILES = sorted((Path(__file__).parent / "replies").glob("*.toml"))
CORPUS: list[dict[str, Any]] = [reply for file in FILES for reply in tomllib.loads(file.read_text(encoding="utf-8"))["reply"]]
FORMATS = [Notes(tool=tool, done=done) for tool in (False, True) for done in (False, True)]


def made(reply: dict[str, Any]) -> Reply:
    calls = [ToolCall(id=f"call_{place}", name=name, arguments=given) for place, (name, given) in enumerate(reply.get("calls", []))]
    return Reply(
        text=reply.get("text", ""),
        reasoning=reply.get("reasoning", ""),
        finish_reason=reply.get("finish_reason", "stop"),
        tool_calls=calls,
    )


def note(say: Notes, named: str) -> str:
    name, _, argument = named.partition(":")
    found = getattr(say, name)
    return found(argument) if argument else found


def test_the_corpus_is_large_and_every_reply_has_a_name_of_its_own():
    assert len(CORPUS) >= 300
    assert len({reply["name"] for reply in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("reply", CORPUS, ids=[reply["name"] for reply in CORPUS])
def test_a_reply_is_read_as_it_is_meant(reply):
    say = Notes()
    parsed = parse_reply(made(reply), say)
    assert [action.code.strip() for action in parsed.actions] == reply.get("code", [])
    assert (parsed.done, parsed.answer) == (reply.get("done", False), reply.get("answer"))
    assert parsed.notes == [note(say, named) for named in reply.get("notes", [])]


@pytest.mark.parametrize("say", FORMATS)
def test_notes_speak_the_format_that_was_asked_for(say):
    """No note may ask for fences where a tool is offered, nor for an answer where files are asked for."""
    for reply in CORPUS:
        parsed = parse_reply(made(reply), say)
        for told in parsed.notes:
            assert not (say.tool and "```" in told), reply["name"]
            assert not (say.done and "<answer>" in told), reply["name"]
            assert not (not say.done and "<done/>" in told), reply["name"]


@given(cut=st.data(), say=st.sampled_from(FORMATS))
@settings(max_examples=500, deadline=None)
def test_any_part_and_any_mixture_of_replies_is_read(cut, say):
    """Whatever is cut out of replies, and however it is put together, something is done or said about it."""
    pieces = []
    for reply in cut.draw(st.lists(st.sampled_from(CORPUS), min_size=1, max_size=4)):
        text = reply.get("text", "")
        begin = cut.draw(st.integers(0, len(text)))
        pieces.append(text[begin : cut.draw(st.integers(begin, len(text)))])
    finish_reason = cut.draw(st.sampled_from(["stop", "length"]))
    parsed = parse_reply(Reply(text="".join(pieces), finish_reason=finish_reason), say)
    assert parsed.actions or parsed.done or parsed.notes


@given(text=st.text(), name=st.text(), arguments=st.text(), say=st.sampled_from(FORMATS))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_in_every_format(text, name, arguments, say):
    calls = [ToolCall(id="a", name=each, arguments=arguments) for each in (name, "execute_python", "finish")]
    parse_reply(Reply(text=text, tool_calls=calls), say)
    parse_reply(Reply(text=text), say)
