"""The formats of values, without a kernel: what comes back is what went in, and hostile bytes get nothing but an error."""

from __future__ import annotations

import math
import pickle
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from hypothesis.extra import pandas as pdst

from workbench.errors import SandboxError, UsageError
from workbench.kernels import exchange
from workbench.kernels.exchange import FORMATS, PART, Picture, decode, encode
from workbench.kernels.inside.workbench_exchange import handlers, pictures, plain

from .tools import memory_growth

AT_EASE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def there_and_back(value: Any) -> Any:
    encoded = encode(value)
    return decode(encoded.format, bytearray(encoded.data))


def same(one: Any, other: Any) -> bool:
    """Equality in which a type matters and nan is nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None, exclude_categories=()))
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


@AT_EASE
@given(values)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert same(there_and_back(value), value)


def test_what_json_makes_plain() -> None:
    assert there_and_back((1, (2, 3))) == [1, [2, 3]]
    assert same(there_and_back({"rmse": np.float64(0.5), "n": np.int64(3), "ok": np.bool_(True)}), {"rmse": 0.5, "n": 3, "ok": True})


@AT_EASE
@given(st.binary())
def test_bytes_come_back_as_they_were(value: bytes) -> None:
    assert same(there_and_back(value), value)


dtypes = (
    npst.boolean_dtypes()
    | npst.integer_dtypes()
    | npst.unsigned_integer_dtypes()
    | npst.floating_dtypes(sizes=(16, 32, 64))
    | npst.complex_number_dtypes(sizes=(64, 128))
    | npst.datetime64_dtypes()
    | npst.timedelta64_dtypes()
    | npst.unicode_string_dtypes(max_len=5)
    | npst.byte_string_dtypes(max_len=5)
)


@AT_EASE
@given(npst.arrays(dtypes, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)), st.booleans())
def test_arrays_come_back_as_they_were(array: np.ndarray[Any, Any], turned: bool) -> None:
    array = array.T if turned else array
    back = there_and_back(array)
    # without a dimension it is a scalar, and numpy has those in the machine's own byte order
    expected = array if array.shape else array[()]
    assert (type(back), back.dtype, back.shape) == (type(expected), expected.dtype, expected.shape)
    assert back.tobytes() == expected.tobytes()
    assert back.flags.writeable or not array.shape


def test_an_array_read_from_bytes_can_be_written_to() -> None:
    encoded = encode(np.arange(3))
    assert decode("npy", encoded.data).flags.writeable


columns = [
    pdst.column("i", dtype=np.int64),
    pdst.column("f", dtype=np.float64),
    pdst.column("b", dtype=np.bool_),
    pdst.column("t", elements=st.text(st.characters(codec="utf-8")) | st.none(), dtype=object),
    pdst.column("d", dtype=np.dtype("M8[us]")),
]


@AT_EASE
@given(pdst.data_frames(columns, index=pdst.range_indexes() | pdst.indexes(dtype=np.int64)))
def test_frames_come_back_as_they_were(frame: pd.DataFrame) -> None:
    frame["t"] = frame["t"].astype("str")
    pd.testing.assert_frame_equal(there_and_back(frame), frame, check_column_type=False)


BASE = pd.DataFrame(
    {
        "a": [1, 2, 3],
        "text": ["x", None, "z"],
        "kind": pd.Categorical(["u", "v", "u"], ordered=True),
        "when": pd.to_datetime(["2020-01-01", None, "2021-01-01"]).tz_localize("Europe/Berlin"),
        "for": pd.to_timedelta([1, 2, 3], unit="s"),
        "large": pd.array([1, None, 2**60 + 1], dtype="Int64"),
        "maybe": pd.array([True, None, False], dtype="boolean"),
        "string": pd.array(["a", None, "c"], dtype="string"),
        "objects": [date(2020, 1, 1), None, date(2021, 1, 1)],
        "exact": [Decimal("1.50"), None, Decimal("2.25")],
        "small": np.array([1, 2, 3], dtype="f4"),
        7: [b"\xff", b"", None],
    }
)


@pytest.mark.parametrize(
    "frame",
    [
        BASE,
        BASE.iloc[:0],
        BASE.iloc[::-1],
        BASE.set_index("text"),
        BASE.set_axis(["a", "a", None]),
        BASE.set_index("when"),
        BASE.set_index("kind"),
        BASE.set_index(["text", "a"]),
        BASE[["a", "small"]].set_axis(pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["p", None]), axis=1),
        BASE[["a", "small"]].set_axis(["same", "same"], axis=1),
        BASE.rename_axis("rows").rename_axis("columns", axis=1),
        pd.DataFrame(np.zeros((2, 3))),
        pd.DataFrame(),
        pd.DataFrame(index=range(5)),
        pd.DataFrame(index=["a", "b"]),
        pd.DataFrame(columns=["a"]),
    ],
    ids=lambda frame: "-".join(map(str, [frame.shape, *frame.index.names]))[:40],
)
def test_what_pandas_has_and_arrow_has_not_comes_back_too(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(there_and_back(frame), frame, check_column_type=False)


@pytest.mark.parametrize("name", BASE.columns)
def test_series_come_back_as_they_were(name: Any) -> None:
    pd.testing.assert_series_equal(there_and_back(BASE[name]), BASE[name])


@pytest.mark.parametrize("name", BASE.columns)
def test_a_frame_that_came_can_be_written_to(name: Any) -> None:
    for frame in (there_and_back(BASE), there_and_back(BASE[[name]])):
        frame.loc[0, name] = frame.loc[2, name]
        assert frame.loc[0, name] == BASE.loc[2, name]


def test_tables_of_others_come_back_as_arrow() -> None:
    table = pa.table({"a": [1, None], "b": [[1], []], "c": [{"x": "y"}, None]})
    assert there_and_back(table).equals(table)
    frame = polars.DataFrame({"text": ["x", None], "number": [1, 2]})
    assert polars.from_arrow(there_and_back(frame)).equals(frame)  # type: ignore[union-attr]
    assert there_and_back(polars.Series("s", [1, 2])).to_pydict() == {"s": [1, 2]}


def test_metadata_of_others_stays_behind() -> None:
    table = pa.Table.from_pandas(BASE[["a"]])
    assert there_and_back(table).schema.metadata is None
    marked = pa.table([pa.array([1])], pa.schema([pa.field("a", pa.int64(), metadata={"k": "v"})], metadata={"pandas": b"{}"}))
    for data in (encode(marked).data, stream(marked)):
        back = decode("arrow", data)
        assert (back.schema.metadata, back.schema.field(0).metadata) == (None, None)


@pytest.mark.parametrize(
    ("value", "said", "hint"),
    [
        ({1, 2}, "type set", "list(value)"),
        ([1, {"k": 1j}], "in it, a value of type complex", "[value.real, value.imag]"),
        ({1: 2}, "a key of the dict is of type int", "{str(key): each for key, each in value.items()}"),
        (10**5000, "4300 digits", "hex(value)"),
        ("x" * plain.MOST_BYTES, "as JSON it has", "bytes"),
        (print, "builtin_function_or_method", "DataFrame"),
        (np.array([None]), "array of objects", "tolist()"),
        (np.zeros(2, "i4,f4"), "array of type", "DataFrame"),
        (np.ma.zeros(2), "MaskedArray", "filled()"),
        (pd.DataFrame({"mixed": [1, "a"]}), "column 'mixed' of type object", "astype(str)"),
        (pd.DataFrame({"z": [1j]}), "column 'z' of type complex128", "astype(str)"),
        (pd.Series(pd.period_range("2020", periods=2, freq="D"), name="p"), "column 'p'", "cast"),
        (pd.DataFrame({pd.Timestamp("2020"): [1]}), "label '2020-01-01 00:00:00' is of type Timestamp", "columns.astype(str)"),
        (pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}), "column 'm' is of type map", "cast"),
        (pd.Index([1]), "Index", "value.to_series()"),
    ],
    ids=lambda each: each[:20] if isinstance(each, str) else type(each).__name__,
)
def test_what_no_format_holds_says_what_and_what_to_do(value: Any, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        encode(value)
    assert said in raised.value.message
    assert hint in raised.value.hint


def test_a_list_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(UsageError, match="nested more than 100 deep"):
        encode(value)


def png(width: int = 2, height: int = 2, extra: bytes = b"", end: bool = True) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"\0" * (width * 3 + 1) * height) if width * height < 10**6 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + (chunk(b"zTXt", extra) if extra else b"")
        + chunk(b"IDAT", rows)
        + (chunk(b"IEND", b"") if end else b"")
    )


def test_a_picture_comes_back_without_what_does_not_show() -> None:
    picture = there_and_back(Picture(png(extra=b"bomb") + b"trailer"))
    assert type(picture) is Picture
    assert picture == png()
    assert picture._repr_png_() == png()
    assert repr(picture) == f"Picture of {len(png())} bytes"


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def claims(shape: str, dtype: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def with_rows(claimed: int) -> bytes:
    """A stream of one column of nothing, which takes no bytes however many rows it claims."""
    data = stream(pa.table({"a": pa.nulls(12_345_678)}))
    assert struct.pack("<q", 12_345_678) in data
    return data.replace(struct.pack("<q", 12_345_678), struct.pack("<q", claimed))


def about(text: bytes, table: pa.Table | None = None) -> bytes:
    return stream((table or pa.table({"0": [1, 2]})).replace_schema_metadata({b"workbench": text}))


INFLATED = pa.table({"a": np.zeros(1_000_000), "d": pa.array(["a"] * 1_000_000).dictionary_encode()})
NESTED_CLAIM = pa.Array.from_buffers(pa.list_(pa.null()), 1, [None, pa.py_buffer(np.array([0, 2**27], "i4"))], children=[pa.nulls(2**27)])
HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "json too deep": ("json", lambda: b"[" * 100_000 + b"]" * 100_000),
    "json deeper than values may be": ("json", lambda: b"[" * 102 + b"]" * 102),
    "json of many lists": ("json", lambda: b"[" + b"[]," * 10**7 + b"[]]"),
    "json of a very long number": ("json", lambda: b"1" * 10**6),
    "json that is none": ("json", lambda: b"{'a': 1}"),
    "json not in ascii": ("json", lambda: '"ä"'.encode()),
    "npy that claims too much": ("npy", lambda: claims("(1099511627776,)", "'<f8'", b"x" * 8)),
    "npy with a shape that overflows": ("npy", lambda: claims("(4294967296, 4294967296)", "'<f8'")),
    "npy with a negative shape": ("npy", lambda: claims("(-1, -1)", "'<f8'", b"x" * 8)),
    "npy of objects": ("npy", lambda: claims("(1,)", "'|O'", pickle.dumps([1]))),
    "npy of fields of objects": ("npy", lambda: claims("(1,)", "[('a', '|O')]", b"x" * 8)),
    "npy of nothing, many times": ("npy", lambda: claims("(1099511627776,)", "'|S0'")),
    "npy of truth values that are two": ("npy", lambda: claims("(2,)", "'|b1'", b"\x02\x01")),
    "npy of characters that are none": ("npy", lambda: claims("(1,)", "'<U1'", b"\xff\xff\xff\x7f")),
    "npy with code in its header": ("npy", lambda: claims("(__import__('os').getpid(),)", "'<f8'")),
    "npy with a deep header": ("npy", lambda: claims("-" * 1500 + "1", "'<f8'")),
    "npy with a long header": ("npy", lambda: claims(" " * 60_000 + "(0,)", "'<f8'")),
    "npy of another version": ("npy", lambda: claims("(0,)", "'<f8'").replace(b"\x01\x00", b"\x03\x00", 1)),
    "arrow compressed with zstd": ("arrow", lambda: stream(INFLATED, compression="zstd")),
    "arrow compressed with lz4": ("arrow", lambda: stream(INFLATED, compression="lz4")),
    "arrow with a compressed dictionary": ("arrow", lambda: stream(INFLATED.select(["d"]), compression="zstd")),
    "arrow with rows that take no bytes": ("arrow", lambda: with_rows(2**40)),
    "arrow with a negative number of rows": ("arrow", lambda: with_rows(-1)),
    "arrow with a claim in a list": ("arrow", lambda: stream(pa.table({"a": NESTED_CLAIM}))),
    "arrow of very many columns": ("arrow", lambda: stream(pa.table([pa.nulls(0)] * 100_001, [""] * 100_001))),
    "arrow about too much": ("arrow", lambda: about(b"[" + b"[]," * 10**7 + b"[]]")),
    "arrow of an extension": ("arrow", lambda: stream(pa.table({"a": pa.array([b"0" * 16], pa.uuid())}))),
    "arrow of views": ("arrow", lambda: stream(pa.table({"a": pa.array(["a"], pa.string_view())}))),
    "arrow of runs": ("arrow", lambda: stream(pa.table({"a": pa.RunEndEncodedArray.from_arrays(pa.array([2**30], pa.int32()), [1])}))),
    "arrow with text that is none": ("arrow", lambda: stream(pa.table({"a": pa.array(["abcabc"])})).replace(b"abcabc", b"\xff" * 6)),
    "arrow with a list beyond its items": (
        "arrow",
        lambda: stream(pa.table({"a": [[1, 2, 3]]})).replace(struct.pack("<ii", 0, 3), struct.pack("<ii", 0, 3000)),
    ),
    "arrow with a category that is not there": (
        "arrow",
        lambda: stream(pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([2] * 9, pa.int32()), pa.array([0.5, 1.5, 2.5]))})).replace(
            struct.pack("<i", 2) * 9, struct.pack("<i", 10**6) * 9
        ),
    ),
    "arrow with a pickled type": (
        "arrow",
        lambda: stream(
            pa.table(
                [pa.array([b"x"])],
                pa.schema([pa.field("a", pa.binary(), metadata={"ARROW:extension:name": "arrow.py_extension_type"})]),
            )
        ),
    ),
    "arrow about nothing": ("arrow", lambda: about(b"[]")),
    "arrow about labels that are none": (
        "arrow",
        lambda: about(b'{"kind":"frame","labels":[{}],"types":[null],"index":[null],"names":[null]}'),
    ),
    "arrow about a type of its own": (
        "arrow",
        lambda: about(b'{"kind":"series","labels":["a"],"types":["Sparse"],"index":[null],"range":[0,2,1]}'),
    ),
    "arrow about other rows": ("arrow", lambda: about(b'{"kind":"series","labels":["a"],"types":[null],"index":[null],"range":[0,9,1]}')),
    "arrow about deep things": ("arrow", lambda: about(b"[" * 100_000)),
    "png of too many pixels": ("png", lambda: png(100_000, 100_000)),
    "png of no pixels": ("png", lambda: png(0, 5)),
    "png without an end": ("png", lambda: png(end=False)),
    "png of two headers": ("png", lambda: png()[:33] + png()[8:]),
    "png that is svg": ("png", lambda: b"<svg onload='alert(1)'/>"),
    "a pickle": ("pickle", lambda: pickle.dumps([1])),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_hostile_bytes_are_refused_and_take_no_memory(which: str) -> None:
    format, make = HOSTILE[which]
    data = make()
    with memory_growth() as growth, pytest.raises(SandboxError) as raised:
        decode(format, data)
    assert growth.bytes < 250 * 2**20
    assert len(str(raised.value)) < 400


def test_what_is_larger_than_asked_for_is_refused() -> None:
    for format in FORMATS:
        with pytest.raises(SandboxError, match="the most is 10"):
            decode(format, b"x" * 11, most=10)
    rows = stream(pa.table({"a": pa.nulls(1000)}))
    with pytest.raises(SandboxError, match="would take about"):
        decode("arrow", rows, most=len(rows))


SAMPLES = [
    encode({"a": [1.5, None, "x"]}),
    encode(np.arange(6).reshape(2, 3)),
    encode(np.array(["a", "bc"])),
    encode(BASE),
    encode(BASE.set_index(["text", "a"])["kind"]),
    encode(pa.table({"a": [[1], [2, 3]], "b": [{"x": "y"}, None]})),
    encode(Picture(png())),
]


@settings(AT_EASE, max_examples=400)
@given(st.data())
def test_changed_bytes_give_a_value_or_one_kind_of_error(data: st.DataObject) -> None:
    format, given_bytes = data.draw(st.sampled_from(SAMPLES))
    changed = bytearray(given_bytes)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        what = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f"]))
        match data.draw(st.sampled_from(["put", "insert", "cut"])):
            case "put":
                changed[at : at + len(what)] = what
            case "insert":
                changed[at:at] = what
            case "cut":
                del changed[at:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = decode(format, bytes(changed))
        except SandboxError:
            return
        repr(value)


@AT_EASE
@given(st.sampled_from(FORMATS), st.binary(max_size=200))
def test_random_bytes_give_a_value_or_one_kind_of_error(format: str, data: bytes) -> None:
    try:
        decode(format, data)
    except SandboxError:
        assert format != "bytes"


def test_no_reader_ever_unpickles(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    trap = pickle.dumps(Trap())
    for format in FORMATS[:-1]:
        with pytest.raises(SandboxError):
            decode(format, trap)
    with pytest.raises(SandboxError):
        decode("npy", claims("(1,)", "'|O'", trap))
    assert not list(tmp_path.glob("run"))


class Loop:
    """The kernel's own handlers without a kernel: what they are asked goes straight to them."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}
        self.shell, self.session, self.shell_handlers = self, self, {}
        self.push = self.user_ns.update
        self.asked: list[dict[str, Any]] = []
        handlers.install(self)

    def send(self, stream: None, kind: str, content: dict[str, Any], parent: dict[str, Any], ident: None, buffers: list[Any]) -> None:
        self.reply = content, [bytes(each) for each in buffers]

    async def request(self, kind: str, content: dict[str, Any], buffers: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        self.asked.append(content)
        self.shell_handlers[kind](None, None, {"content": content, "buffers": buffers})
        return self.reply


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (1, 1), (PART - 1, 1), (PART, 1), (PART + 1, 2), (3 * PART, 3)])
async def test_a_value_crosses_in_as_many_parts_as_it_needs(size: int, parts: int) -> None:
    loop = Loop()
    value = np.random.default_rng(0).bytes(size)
    await exchange.push(loop.request, "value", value)
    assert len(loop.asked) == parts
    assert loop.user_ns == {"value": value}
    assert await exchange.pull(loop.request, "value") == value
    assert len(loop.asked) == 2 * parts


async def test_a_value_that_changes_on_its_way_arrives_as_it_was() -> None:
    loop = Loop()
    loop.user_ns["value"] = bytes(PART + 1)

    async def request(kind: str, content: dict[str, Any], buffers: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        reply = await loop.request(kind, content, buffers)
        loop.user_ns["value"] = "another"
        return reply

    assert await exchange.pull(request, "value") == bytes(PART + 1)
    assert await exchange.pull(request, "value") == "another"


async def test_two_values_at_once_are_never_mixed() -> None:
    loop = Loop()

    async def request(kind: str, content: dict[str, Any], buffers: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        if content["offset"] and content["name"] == "first":
            await exchange.push(loop.request, "second", 2)
        return await loop.request(kind, content, buffers)

    with pytest.raises(UsageError, match="first cannot be pushed: another value was sent meanwhile"):
        await exchange.push(request, "first", bytes(2 * PART))
    assert loop.user_ns == {"second": 2}


def test_the_formats_import_nothing_but_the_standard_library() -> None:
    folder = Path(pictures.__file__).parents[1]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from workbench_exchange import encode, handlers; encode([1]); "
        "print(*{'numpy', 'pandas', 'pyarrow', 'PIL', 'workbench'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
