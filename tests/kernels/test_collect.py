"""What a kernel sends is untrusted: whatever it is, collecting it never raises and never grows."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.kernels.collect import NAMESPACE_MIME, Collector, MiddleCut, cut_middle
from workbench.observation import Observation, Output

MARK = re.compile(r"\n\[\.\.\. (\d+) characters cut \.\.\.\]\n")
MARK_SIZE = 60

any_text = st.text(st.characters(exclude_categories=()), max_size=40)
"""Lone surrogates too: JSON can carry them, and what is stored must not."""
terminal = st.lists(
    st.sampled_from(["\x1b", "[", "]", "31m", "0;title", "\x07", "\\", "a", "\x9b", "P", "?25l", "\x00", "\r", "\n", "é"]), max_size=14
).map("".join)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
png = base64.b64encode(b"\x89PNG" + bytes(40)).decode()

mimes = st.sampled_from(["text/plain", "text/html", "image/png", "image/svg+xml", "application/json", NAMESPACE_MIME])
nearly_bundle = st.dictionaries(mimes, json_like | any_text | terminal | st.just(png) | st.just("A" * 900), max_size=4)
nearly_changes = st.fixed_dictionaries(
    {
        "changes": json_like
        | st.lists(st.fixed_dictionaries({"name": json_like, "change": json_like | st.just("new"), "summary": json_like}))
    }
)
nearly_content = st.one_of(
    st.dictionaries(any_text, json_like, max_size=4),
    st.fixed_dictionaries({"name": st.sampled_from(["stdout", "stderr"]) | json_like, "text": any_text | terminal | json_like}),
    st.fixed_dictionaries(
        {"data": nearly_bundle}, optional={"transient": st.fixed_dictionaries({"display_id": any_text | json_like}), "metadata": json_like}
    ),
    st.fixed_dictionaries({"data": st.fixed_dictionaries({NAMESPACE_MIME: nearly_changes | json_like})}),
    st.fixed_dictionaries({"ename": any_text, "evalue": any_text | terminal, "traceback": st.lists(json_like | any_text, max_size=4)}),
)
kinds = st.sampled_from(
    ["stream", "execute_result", "display_data", "update_display_data", "error", "status", "clear_output", "payload", "no such"]
)
messages = st.lists(st.tuples(kinds, nearly_content), max_size=25)


@given(st.lists(st.text("ab", max_size=30), max_size=20), st.integers(0, 50))
def test_what_is_kept_and_what_is_cut_add_up(pieces: list[str], size: int) -> None:
    text = MiddleCut(size)
    for piece in pieces:
        text.add(piece)
    whole, shown = "".join(pieces), str(text)
    found = MARK.search(shown)
    if found is None:
        assert shown == whole
        return
    head, tail = shown[: found.start()], shown[found.end() :]
    assert len(head) + len(tail) + int(found[1]) == len(whole)
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + len(tail) <= size


@given(st.lists(st.text("ab", max_size=30), max_size=20), st.integers(0, 50))
def test_text_cut_in_pieces_is_text_cut_at_once(pieces: list[str], size: int) -> None:
    text = MiddleCut(size)
    for piece in pieces:
        text.add(piece)
        str(text)
    assert str(text) == cut_middle("".join(pieces), size)


@settings(max_examples=300)
@given(messages)
def test_nothing_a_kernel_sends_raises_or_grows_without_bound(sent: list[tuple[str, dict[str, Any]]]) -> None:
    size, most, picture = 50, 5, 300
    seen: list[Output] = []
    collector = Collector(text_size=size, image_bytes=picture, most_outputs=most, on_output=seen.append)
    for kind, content in sent:
        collector.add(kind, content)
    observation = collector.observation("ok")
    assert len(observation.outputs) <= most
    for output in observation.outputs:
        for mime, value in output.data.items():
            assert isinstance(value, str)
            assert len(value) <= (picture * 4 // 3 + 4 if mime.startswith("image/p") else size + MARK_SIZE)
    assert len(observation.namespace) <= 50
    assert all(len(change.name) <= 100 and len(change.summary) <= 200 for change in observation.namespace)
    if observation.error is not None:
        assert observation.status == "error"
        assert len(observation.error.traceback) <= size + MARK_SIZE
        assert len(observation.error.value) <= 4000 + MARK_SIZE
        assert len(observation.error.name) <= 200


@given(messages)
@example([("stream", {"name": "stdout", "text": "\ud800"})])
@example([("error", {"ename": "\ud800", "evalue": "\udfff", "traceback": ["\ud800"]})])
@example([("display_data", {"data": {"text/html": "\ud800"}})])
def test_every_observation_can_be_stored_and_read_back(sent: list[tuple[str, dict[str, Any]]]) -> None:
    collector = Collector()
    for kind, content in sent:
        collector.add(kind, content)
    observation = collector.observation("ok")
    assert Observation.model_validate_json(observation.model_dump_json()) == observation


def nest(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("depth", [10, 900, 5000])
def test_deeply_nested_content_does_no_harm(depth: int) -> None:
    deep = nest(depth)
    collector = Collector()
    collector.add("error", {"ename": "E", "evalue": "e", "traceback": [deep]})
    collector.add("display_data", {"data": {"application/json": deep, NAMESPACE_MIME: {"changes": [{"name": deep, "change": "new"}]}}})
    assert collector.observation("ok").outputs == []


def test_an_escape_sent_in_two_pieces_does_not_survive() -> None:
    collector = Collector()
    for piece in ("\x1b", "[31mred"):
        collector.add("stream", {"name": "stdout", "text": piece})
    assert "\x1b" not in collector.observation("ok").outputs[0].text


def test_streams_arrive_in_pieces_and_are_kept_in_one() -> None:
    seen: list[Output] = []
    collector = Collector(on_output=seen.append)
    for piece in ("a", "b"):
        collector.add("stream", {"name": "stdout", "text": piece})
    collector.add("stream", {"name": "stderr", "text": "c"})
    outputs = collector.observation("ok").outputs
    assert [(output.kind, output.text) for output in outputs] == [("stdout", "ab"), ("stderr", "c")]
    assert [output.text for output in seen] == ["a", "b", "c"]


def test_what_is_not_kept_is_counted() -> None:
    collector = Collector(text_size=10, image_bytes=30, most_outputs=1)
    collector.add("display_data", {"data": {"text/html": "<b>" * 10, "image/png": "A" * 80, "text/plain": "x"}})
    collector.add("display_data", {"data": {"text/plain": "y" * 7}})
    observation = collector.observation("ok")
    assert [output.data for output in observation.outputs] == [{"text/plain": "x"}]
    assert observation.dropped_bytes == 30 + 80 + 7
    assert collector.received == 30 + 80 + 1 + 7


@given(st.sampled_from(["application/json", "text/plain", "image/png"]), st.integers(1, 50))
def test_payload_counts_whatever_its_shape(mime: str, length: int) -> None:
    # what is received decides when a flood is stopped, so a list must not pass for nothing
    collector = Collector()
    collector.add("display_data", {"data": {mime: ["x" * 10] * length}})
    assert collector.received >= 10 * length


def test_a_display_is_updated_in_place() -> None:
    collector = Collector()
    collector.add("display_data", {"data": {"text/plain": "0 %"}, "transient": {"display_id": "bar"}})
    collector.add("stream", {"name": "stdout", "text": "between"})
    collector.add("update_display_data", {"data": {"text/plain": "100 %"}, "transient": {"display_id": "bar"}})
    assert [output.text for output in collector.observation("ok").outputs] == ["100 %", "between"]


def test_an_update_of_what_an_earlier_cell_displayed_is_shown() -> None:
    collector = Collector()
    for state in ("50 %", "100 %"):
        collector.add("update_display_data", {"data": {"text/plain": state}, "transient": {"display_id": "earlier"}})
    assert [output.text for output in collector.observation("ok").outputs] == ["100 %"]


def test_every_display_of_one_name_is_updated() -> None:
    collector = Collector()
    for kind, state in (("display_data", "a"), ("display_data", "b"), ("update_display_data", "c")):
        collector.add(kind, {"data": {"text/plain": state}, "transient": {"display_id": "same"}})
    assert [output.text for output in collector.observation("ok").outputs] == ["c", "c"]


def stream(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def texts(*sent: tuple[str, dict[str, Any]], **limits: int) -> list[str]:
    collector = Collector(**limits)
    for kind, content in sent:
        collector.add(kind, content)
    return [output.text for output in collector.observation("ok").outputs]


def test_output_is_cleared_at_once_or_with_what_comes_next() -> None:
    now, later = ("clear_output", {"wait": False}), ("clear_output", {"wait": True})
    assert texts(stream("a"), now) == []
    assert texts(stream("a"), later) == ["a"]
    assert texts(stream("a"), later, stream("b")) == ["b"]
    assert texts(stream("a"), later, ("error", {"ename": "E", "evalue": "", "traceback": []})) == []
    display = ("display_data", {"data": {"text/plain": "old"}, "transient": {"display_id": "d"}})
    update = ("update_display_data", {"data": {"text/plain": "new"}, "transient": {"display_id": "d"}})
    assert texts(display, now, update) == []
    assert texts(*[message for number in range(200) for message in (now, stream(f"{number}"))]) == ["199"]


def test_beyond_the_most_outputs_a_stream_goes_on_where_it_was() -> None:
    bars = [message for number in range(9) for message in (stream(f"epoch {number}\n"), stream(f"\r{number}/9", "stderr"))]
    assert texts(*bars, stream("the result"), most_outputs=4)[2] == "".join(f"epoch {number}\n" for number in range(1, 9)) + "the result"


def test_what_is_of_a_type_that_is_not_shown_is_called_that() -> None:
    collector = Collector()
    collector.add("display_data", {"data": {"application/json": {"a": 1}, "application/pdf": "x" * 99, "text/plain": "JSON"}})
    observation = collector.observation("ok", note="first")
    assert observation.dropped_bytes == 0
    assert observation.note == "first; not shown, for it is neither text nor a picture of a known type: application/json, application/pdf"


def test_help_is_shown() -> None:
    assert texts(("payload", {"source": "page", "data": {"text/plain": "\x1b[31mSignature:\x1b[0m f()"}, "start": 0})) == ["Signature: f()"]
    assert texts(("payload", {"source": "set_next_input", "text": "x = 1", "replace": True})) == ["x = 1"]
    assert texts(("payload", {"source": "page"}), ("payload", {"source": 3, "data": {}}), ("payload", {})) == []


def test_an_exit_says_what_it_ended() -> None:
    collector = Collector()
    collector.add("error", {"ename": "SystemExit", "evalue": "2", "traceback": []})
    assert collector.observation("ok").note == "the cell ended here; the kernel goes on and keeps its variables"
    assert collector.observation("died", note="killed").note == "killed"


def test_a_listener_is_told_where_a_line_is_overwritten_and_of_updates() -> None:
    seen: list[Output] = []
    collector = Collector(on_output=seen.append)
    for piece in (" 10%", "\r 20%\r 30%", "\ndone\n"):
        collector.add(*stream(piece))
    for kind in ("display_data", "update_display_data"):
        collector.add(kind, {"data": {"text/plain": kind}, "transient": {"display_id": "d"}})
    assert [output.text for output in seen] == [" 10%", "\r 30%", "\ndone\n", "display_data", "update_display_data"]


def test_only_what_is_base64_is_an_image() -> None:
    collector = Collector()
    collector.add("display_data", {"data": {"image/png": png[:20] + "\n" + png[20:]}})
    collector.add("display_data", {"data": {"image/png": "<script>alert(1)</script>"}})
    outputs = collector.observation("ok").outputs
    assert [output.data for output in outputs] == [{"image/png": png}]


def test_an_error_makes_ok_an_error_and_leaves_a_timeout_a_timeout() -> None:
    collector = Collector()
    collector.add("error", {"ename": "KeyboardInterrupt", "evalue": "", "traceback": []})
    assert collector.observation("ok").status == "error"
    assert collector.observation("timeout").status == "timeout"
