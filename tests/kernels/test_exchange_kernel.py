"""Values into a real kernel and out of it, and what a kernel that lies gets for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.errors import SandboxError, UsageError
from workbench.kernels import exchange
from workbench.kernels.environments import Environment
from workbench.kernels.exchange import Picture

from .conftest import Opener
from .tools import memory_growth, text_of, told

pytestmark = pytest.mark.walls


FRAME = pd.DataFrame(
    {
        "number": [1, 2, 3],
        "text": ["x", None, "z"],
        "missing": pd.array([1, None, 2**60 + 1], dtype="Int64"),
        "kind": pd.Categorical(["u", "v", "u"], ordered=True),
        "when": pd.to_datetime(["2020-01-01", None, "2021-01-01"]).tz_localize("Europe/Berlin"),
    },
    index=pd.Index(["a", "b", "c"], name="key"),
)


async def test_plain_values_cross_both_ways_without_any_package(opened: Opener) -> None:
    session = await opened()
    value = {"rmse": 0.5, "worst": float("inf"), "names": ["ä", "\ud800", None], "best": (1, True), "large": 2**200}
    await session.push("value", value)
    assert text_of(await session.execute("value['names'][0], value['large'] == 2**200, value['worst']")) == "('ä', True, inf)"
    await session.execute("value['more'] = ('new',)")
    assert await session.pull("value") == {**value, "best": [1, True], "more": ["new"]}
    await session.push("raw", b"")
    assert await session.pull("raw") == b""
    loaded = "import sys\nsorted({'numpy', 'pandas', 'pyarrow', 'matplotlib', 'PIL', 'exchange', 'frames'} & set(sys.modules))"
    assert text_of(await session.execute(loaded)) == "[]"


async def test_a_frame_crosses_both_ways(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    await session.push("frame", FRAME)
    assert text_of(await session.execute("type(frame).__name__, frame.index.name, str(frame.dtypes['missing'])")) == (
        "('DataFrame', 'key', 'Int64')"
    )
    pd.testing.assert_frame_equal(await session.pull("frame"), FRAME)
    await session.execute("means = frame.groupby('kind', observed=True)['number'].mean()")
    means = await session.pull("means")
    assert (means.name, means.to_dict()) == ("number", {"u": 2.0, "v": 2.0})
    await session.execute("import pyarrow\ntable = pyarrow.table({'a': [1, 2]})")
    assert (await session.pull("table")).to_pydict() == {"a": [1, 2]}


async def test_a_large_array_crosses_in_parts_both_ways(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    array = np.arange(13_000_000, dtype="f8").reshape(1000, 13_000)
    await session.push("array", array)
    observation = await session.execute("array *= 2\narray.shape, float(array[-1, -1])")
    assert text_of(observation) == "((1000, 13000), 25999998.0)", told(observation)
    pulled = await session.pull("array")
    assert pulled.flags.writeable
    np.testing.assert_array_equal(pulled, array * 2)
    with pytest.raises(UsageError, match=r"array cannot be pulled: it has 104000128 bytes, the most is 1000000") as raised:
        await exchange.pull(session._open.request, "array", most=1_000_000)
    assert raised.value.hint == "ask for more with most="


async def test_a_large_value_leaves_no_thread_behind(opened: Opener) -> None:
    session = await opened()
    threads = "import threading\nsorted(each.name for each in threading.enumerate())"
    before = text_of(await session.execute(threads))
    await session.push("value", bytes(20 * 2**20))
    await session.pull("value")
    assert text_of(await session.execute(threads)) == before


async def test_a_figure_and_an_image_come_as_pictures(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    await session.execute("import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2]);")
    await session.execute("from PIL import Image\nimage = Image.new('RGB', (3, 2), 'red')")
    for name in ("figure", "image"):
        picture = await session.pull(name)
        assert type(picture) is Picture
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UsageError, match="held by no format") as raised:
        await session.pull("axes")
    assert raised.value.hint == "value.figure"
    await session.push("back", picture)
    observation = await session.execute("back")
    assert "image/png" in observation.outputs[0].data, told(observation)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import numpy\nx = numpy.array([object()])", "array of objects"),
        ("import pandas\nx = pandas.DataFrame({'mixed': [1, 'a']})", "column 'mixed' of type object"),
        ("class Model:\n    def __reduce__(self): return (print, ('reduced',))\nx = Model()", "__main__.Model is held by no format"),
        ("x = {1: 2}", "a key of the dict is of type int"),
        ("x = []\nx.append(x)", "nested more than 100 deep"),
        ("pass", "no variable is called x"),
    ],
)
async def test_what_no_format_holds_is_refused_with_the_reason(opened: Opener, ds: Environment, code: str, said: str) -> None:
    session = await opened(ds)
    await session.execute(code)
    with pytest.raises(UsageError) as raised:
        await session.pull("x")
    assert said in raised.value.message


async def test_a_value_whose_code_runs_amok_costs_a_reply_and_not_the_kernel(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    code = """
from matplotlib.figure import Figure
class Bad(Figure):
    def savefig(self, *_, **__): raise SystemExit(Worse())
class Worse:
    def __str__(self): raise KeyboardInterrupt
    __repr__ = __str__
bad = Bad()
Text = type('Evil\\x1b[2J', (Exception,), {})
class Escapes(Figure):
    def savefig(self, *_, **__): raise Text('\\x1b]0;title\\x07' + 'x' * 10**6)
escapes = Escapes()
"""
    await session.execute(code)
    for name in ("bad", "escapes"):
        with pytest.raises(UsageError, match=f"{name} cannot be pulled") as raised:
            await session.pull(name)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 1000
    assert text_of(await session.execute("1 + 1")) == "2"


LIES = """
import sys
handlers = get_ipython().kernel.shell_handlers
def lie(content, buffers):
    def handle(stream, ident, parent):
        kernel = get_ipython().kernel
        kernel.session.send(stream, 'workbench_pull_reply', content, parent, ident, buffers)
    handlers['workbench_pull_request'] = handle
PICKLE = b"cposix\\nsystem\\n(S'touch /tmp/pwned'\\ntR."
"""


@pytest.mark.parametrize(
    "lie",
    [
        "{}, []",
        "{'status': 'ok', 'format': 'pickle', 'size': len(PICKLE)}, [PICKLE]",
        "{'status': 'ok', 'format': 'json', 'size': len(PICKLE)}, [PICKLE]",
        "{'status': 'ok', 'format': 'npy', 'size': len(PICKLE)}, [PICKLE]",
        "{'status': 'ok', 'format': 'arrow', 'size': len(PICKLE)}, [PICKLE]",
        "{'status': 'ok', 'format': 'png', 'size': len(PICKLE)}, [PICKLE]",
        "{'status': 'ok', 'format': 'bytes', 'size': 10**12}, [b'x']",
        "{'status': 'ok', 'format': 'bytes', 'size': -1}, [b'x']",
        "{'status': 'ok', 'format': 'bytes', 'size': True}, [b'x']",
        "{'status': 'ok', 'format': 'bytes', 'size': 1e3}, [b'x']",
        "{'status': 'ok', 'format': ['bytes'], 'size': 1}, [b'x']",
        "{'status': 'ok', 'format': 'bytes', 'size': 10**8}, [b'x']",
        "{'status': 'ok', 'format': 'bytes', 'size': 10}, [b'x' * 10**7]",
        "{'status': 'ok', 'format': 'bytes', 'size': 10}, []",
        "{'status': 'ok', 'format': 'bytes', 'size': 10}, [b'x' * 10] * 2",
        "{'status': ['ok'], 'message': {'a': 1}, 'hint': 5}, []",
    ],
)
async def test_a_kernel_that_lies_is_told_from_one_that_answers(opened: Opener, lie: str) -> None:
    session = await opened()
    await session.execute(LIES)
    await session.execute(f"x = 1\nlie({lie})")
    with memory_growth() as growth, pytest.raises((SandboxError, UsageError)):
        await session.pull("x")
    assert growth.bytes < 200 * 2**20


async def test_a_kernel_cannot_answer_a_push_with_harm(opened: Opener) -> None:
    session = await opened()
    await session.execute("get_ipython().kernel.shell.push = lambda *_: 1 / 0")
    with pytest.raises(UsageError, match="x cannot be pushed: ZeroDivisionError in the kernel"):
        await session.push("x", 1)


async def test_names_are_names(opened: Opener) -> None:
    session = await opened()
    for name in ("", "a b", "class", "a.b", "1", "_workbench_x", "f()"):
        with pytest.raises(UsageError, match="cannot be the name of a variable"):
            await session.push(name, 1)
        with pytest.raises(UsageError, match="cannot be the name of a variable"):
            await session.pull(name)
    await session.push("ﬁt", 5)
    assert text_of(await session.execute("ﬁt, fit")) == "(5, 5)"
