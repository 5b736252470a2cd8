"""Recording and replaying."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loopback import Loopback, RateLimit, Say
from workbench.errors import UsageError
from workbench.messages import Attempt, Image, Message, Reply, Tool, ToolCall, Usage
from workbench.models.base import Model, ModelError
from workbench.models.cassette import Cassette, Recorder
from workbench.models.function import FunctionModel
from workbench.models.litellm import LiteLLMModel

ASK = [Message(role="system", text="be brief"), Message(role="user", text="hello")]


class Script:
    """A model that gives the replies it was given."""

    def __init__(self, *replies: Reply, sees_images: bool = False) -> None:
        self.name = "script"
        self.sees_images = sees_images
        self.replies = list(replies)

    async def reply(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
    ) -> Reply:
        reply = self.replies.pop(0)
        if on_text is not None:
            on_text(reply.text)
        return reply


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassette.jsonl"


def record(path: Path, *exchanges: tuple[list[Message], Reply], tools: Sequence[Tool] = ()) -> None:
    recorder = Recorder(Script(*(reply for _, reply in exchanges)), path)
    for messages, _ in exchanges:
        asyncio.run(recorder.reply(messages, tools=tools))


def replay(cassette: Cassette, messages: list[Message], tools: Sequence[Tool] = ()) -> Reply:
    return asyncio.run(cassette.reply(messages, tools=tools))


def failure(cassette: Cassette, messages: list[Message], tools: Sequence[Tool] = ()) -> ModelError:
    with pytest.raises(ModelError) as caught:
        replay(cassette, messages, tools)
    return caught.value


# Lone surrogates too: they are what surrogateescape makes of bytes that are no text, so kernels print them.
texts = st.text(st.characters(), max_size=30)
images = st.builds(Image, media_type=st.just("image/png"), data=st.binary(max_size=8).map(lambda data: data.hex()))
calls = st.builds(ToolCall, id=texts, name=texts, arguments=texts)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    text=texts,
    images=st.lists(images, max_size=2),
    tool_calls=st.lists(calls, max_size=2),
    tool_call_id=st.none() | texts,
)
counts = st.integers(0, 10**9)
replies = st.builds(
    Reply,
    text=texts,
    reasoning=texts,
    tool_calls=st.lists(calls, max_size=2),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    usage=st.builds(Usage, input_tokens=counts, output_tokens=counts, cached_tokens=counts),
    cost_usd=st.none() | st.floats(0, 1e6),
    attempts=st.lists(st.builds(Attempt, status=st.sampled_from(["ok", "timeout"]), seconds=st.floats(0, 1e6), error=texts), max_size=2),
)
tools = st.builds(Tool, name=texts, description=texts, parameters=st.dictionaries(texts, texts | st.integers(), max_size=2))
exchanges = st.lists(st.tuples(st.lists(messages, max_size=4), st.lists(tools, max_size=2), replies), min_size=1, max_size=4)


@settings(deadline=None)
@given(exchanges)
def test_what_is_recorded_is_replayed(exchanges: list[tuple[list[Message], list[Tool], Reply]]) -> None:
    async def story(path: Path) -> None:
        recorder = Recorder(Script(*(reply for _, _, reply in exchanges)), path)
        for messages, tools, reply in exchanges:
            assert await recorder.reply(messages, tools=tools) == reply
        cassette = Cassette(path)
        for messages, tools, reply in exchanges:
            assert await cassette.reply(messages, tools=tools) == reply
        assert cassette.remaining == 0

    with TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder) / "cassette.jsonl"))


@settings(deadline=None)
@given(st.lists(messages, min_size=1, max_size=6), st.data())
def test_a_changed_message_is_always_noticed(conversation: list[Message], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cassette.jsonl"
        record(path, (conversation, Reply(text="yes")))
        changed = data.draw(st.integers(0, len(conversation) - 1))
        other = [
            message.model_copy(update={"text": message.text + "!"}) if i == changed else message for i, message in enumerate(conversation)
        ]
        assert f"message {changed + 1} ({conversation[changed].role}) differs in its text" in failure(Cassette(path), other).message


def test_both_are_models(path: Path) -> None:
    recorder = Recorder(Script(Reply(text="a")), path)
    assert isinstance(recorder, Model)
    assert recorder.name == "script"
    assert not path.exists(), "what was never asked leaves no recording behind"
    asyncio.run(recorder.reply(ASK))
    cassette = Cassette(path)
    assert isinstance(cassette, Model)
    assert cassette.name == "cassette:script"


def test_each_line_is_there_when_the_reply_is(path: Path) -> None:
    recorder = Recorder(Script(Reply(text="a"), Reply(text="b")), path)
    for text in "ab":
        assert asyncio.run(recorder.reply(ASK)).text == text
        assert json.loads(path.read_text().splitlines()[0]) == {"cassette": 1, "model": "script", "sees_images": False}
        assert json.loads(path.read_text().splitlines()[-1])["reply"] == {"text": text}


def test_a_growing_conversation_is_written_once(path: Path) -> None:
    longer = [*ASK, Message(role="assistant", text="hi"), Message(role="user", text="more")]
    record(path, (ASK, Reply(text="hi")), (longer, Reply(text="bye")))
    first, second = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert (len(first["messages"]), second["kept"], len(second["messages"])) == (2, 2, 2)
    cassette = Cassette(path)
    assert [replay(cassette, ASK).text, replay(cassette, longer).text] == ["hi", "bye"]


def test_a_list_the_caller_goes_on_writing_in(path: Path) -> None:
    conversation = list(ASK)
    recorder = Recorder(Script(Reply(text="hi"), Reply(text="bye")), path)
    asyncio.run(recorder.reply(conversation))
    conversation.append(Message(role="assistant", text="hi"))
    conversation[0].text = "be long"
    asyncio.run(recorder.reply(conversation))
    conversation[0].text = "be brief"
    cassette = Cassette(path)
    assert replay(cassette, conversation[:2]).text == "hi"
    conversation[0].text = "be long"
    assert replay(cassette, conversation).text == "bye"
    conversation[0].text = "be brief"


def test_an_existing_recording_is_not_overwritten(path: Path) -> None:
    record(path, (ASK, Reply(text="hi")))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"cassette.jsonl is a recording already \(delete it"):
        Recorder(Script(), path)
    assert path.read_bytes() == before


def test_an_empty_file_and_missing_folders_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    for path in (tmp_path / "empty.jsonl", tmp_path / "deep" / "down" / "new.jsonl"):
        record(path, (ASK, Reply(text="hi")))
        assert replay(Cassette(path), ASK).text == "hi"


def test_streaming_passes_through_and_is_replayed(path: Path) -> None:
    live: list[str] = []
    again: list[str] = []
    asyncio.run(Recorder(Script(Reply(text="hi")), path).reply(ASK, on_text=live.append))
    asyncio.run(Cassette(path).reply(ASK, on_text=again.append))
    assert live == again == ["hi"]


def test_a_failed_call_leaves_no_line(path: Path) -> None:
    answers = iter([ZeroDivisionError("once"), None])

    def answer(messages: list[Message]) -> str:
        if error := next(answers):
            raise error
        return "hi"

    recorder = Recorder(FunctionModel(answer), path)
    with pytest.raises(ModelError):
        asyncio.run(recorder.reply(ASK))
    asyncio.run(recorder.reply(ASK))
    assert replay(Cassette(path), ASK).text == "hi"


def test_calls_at_the_same_time_keep_an_order(path: Path) -> None:
    async def story() -> None:
        recorder = Recorder(FunctionModel(lambda messages: messages[-1].text), path)
        asked = [[Message(role="user", text=str(i))] for i in range(8)]
        await asyncio.gather(*(recorder.reply(messages) for messages in asked))
        cassette = Cassette(path)
        replies = await asyncio.gather(*(cassette.reply(messages) for messages in asked))
        assert [reply.text for reply in replies] == [str(i) for i in range(8)]

    asyncio.run(story())


def test_whether_it_sees_images_is_replayed_call_by_call(path: Path) -> None:
    script = Script(Reply(text="a"), Reply(text="b"))
    recorder = Recorder(script, path)
    asyncio.run(recorder.reply(ASK))
    recorder.sees_images = True  # as a LiteLLMModel finds out with its first call
    asyncio.run(recorder.reply(ASK))
    assert script.sees_images
    cassette = Cassette(path)
    seen = [cassette.sees_images]
    for _ in range(2):
        replay(cassette, ASK)
        seen.append(cassette.sees_images)
    assert seen == [False, False, True]


def test_memory_addresses_may_differ_and_nothing_else(path: Path) -> None:
    record(path, ([Message(role="user", text="<Axes at 0x7f3a12345678> and 0x1f")], Reply(text="nice")))
    assert replay(Cassette(path), [Message(role="user", text="<Axes at 0x7fffdeadbeef> and 0x1f")]).text == "nice"
    assert "differs in its text" in failure(Cassette(path), [Message(role="user", text="<Axes at 0x7fffdeadbeef> and 0x2f")]).message


def test_a_different_request_names_file_line_message_and_difference(path: Path) -> None:
    long = "\n".join(f"line {i}" for i in range(100))
    record(path, (ASK, Reply(text="a")), ([Message(role="user", text=long)], Reply(text="b")))
    cassette = Cassette(path)
    replay(cassette, ASK)
    error = failure(cassette, [Message(role="user", text=long.replace("line 50\n", "line fifty\n"))])
    assert f"{path}:3, call 2, was recorded for another request: message 1 (user) differs in its text:" in error.message
    assert "\n-line 50\n+line fifty\n" in error.message
    assert len(error.message.splitlines()) < 15
    assert "record again: workbench.models.cassette.Recorder(model, " in error.hint
    assert cassette.remaining == 1  # the call may be made again as it was recorded


def test_a_long_difference_is_bounded(path: Path) -> None:
    record(path, ([Message(role="user", text="x" * 10_000 + "\n" * 500)], Reply(text="a")))
    error = failure(Cassette(path), [Message(role="user", text="y" * 10_000)])
    assert len(error.message) < 1500
    assert "more lines" in error.message


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (ASK[:1], "it had 2 messages and now there are 1; missing from: user: 'hello'"),
        ([*ASK, Message(role="user", text="again")], "it had 2 messages and now there are 3; too many from: user: 'again'"),
        ([ASK[0], Message(role="assistant", text="hello")], "message 2 (user) differs in its role"),
    ],
)
def test_which_message_differs(path: Path, got: list[Message], said: str) -> None:
    record(path, (ASK, Reply(text="a")))
    assert said in failure(Cassette(path), got).message


def test_other_tools(path: Path) -> None:
    tool = Tool(name="run", description="Run code.", parameters={})
    record(path, (ASK, Reply(text="a")), tools=[tool])
    assert '-  "name": "run"' in failure(Cassette(path), ASK, [tool.model_copy(update={"name": "walk"})]).message
    assert replay(Cassette(path), ASK, [tool]).text == "a"


def test_past_the_end(path: Path) -> None:
    record(path, (ASK, Reply(text="a")))
    cassette = Cassette(path)
    replay(cassette, ASK)
    error = failure(cassette, ASK)
    assert error.message == f"{path} ends after 1 calls, and one more was made"
    assert "Recorder" in error.hint


def test_no_such_file(path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no cassette at .*cassette.jsonl \(.*Recorder"):
        Cassette(path)


def test_a_folder_or_a_picture(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    for path in (tmp_path, tmp_path / "picture.png"):
        with pytest.raises(UsageError, match="cannot be read as a cassette"):
            Cassette(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", ":1 is not the header of a cassette, not JSON"),
        ("hello\n", ":1 is not the header of a cassette, not JSON"),
        ("[]\n", ":1 is not the header of a cassette, line: "),
        ('{"cassette": 2, "model": "m"}\n', ":1 is not the header of a cassette, cassette: "),
        ('{"cassette": 1, "model": "m"}\n{"messages": [], "rep', ":2 is not the call of a cassette, not JSON"),
        ('{"cassette": 1, "model": "m"}\n{"messages": []}\n', ":2 is not the call of a cassette, reply: Field required"),
    ],
)
def test_a_malformed_file(path: Path, lines: str, said: str) -> None:
    path.write_text(lines)
    with pytest.raises(ModelError) as caught:
        Cassette(path)
    assert f"{path}{said}" in caught.value.message
    assert "record again" in caught.value.hint


def test_a_line_that_keeps_more_than_there_is(path: Path) -> None:
    path.write_text('{"cassette": 1, "model": "m"}\n{"kept": 2, "messages": [], "reply": {}}\n')
    assert f"{path}:2 keeps 2 messages of the 0 before it" in failure(Cassette(path), ASK).message


async def test_a_model_behind_http(path: Path, loopback: Callable[..., Loopback]) -> None:
    async def at_once(seconds: float) -> None:
        pass

    server = loopback(RateLimit(3), Say("hi"))
    live = LiteLLMModel("openai/gpt-4o-mini", base_url=server.base_url, api_key="sk-never-in-a-cassette", sleep=at_once)
    reply = await Recorder(live, path).reply(ASK)
    cassette = Cassette(path)
    assert await cassette.reply(ASK) == reply
    assert reply.cost_usd
    assert [(attempt.status, attempt.waited) for attempt in reply.attempts] == [("rate_limited", 3), ("ok", 0)]
    assert cassette.name == "cassette:openai/gpt-4o-mini"
    assert "sk-never" not in path.read_text()
