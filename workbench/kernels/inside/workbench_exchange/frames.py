"""``arrow``: data frames, series and tables, as an uncompressed Arrow IPC stream.

Of the metadata that Arrow can carry only ours is read: one JSON text that says what pandas had and Arrow has not. The
metadata of pandas itself and Arrow's extension types can name code to be run, so they are neither written nor read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from . import plain
from .refused import Refused, is_exactly

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_KEY = b"workbench"
_NULLABLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "boolean", "string")
"""Types of pandas that Arrow's own would come back as something else."""
_COST = 4
"""A value may take this much more memory as Python sees it than the bytes that may be sent."""
_MOST_COLUMNS = 100_000
"""A column takes kilobytes as Python sees it, and fewer than a hundred bytes to claim."""
_FRAMES = (("pandas", "DataFrame"), ("pandas", "Series"))
_POLARS = (("polars", "DataFrame"), ("polars", "Series"))


def holds(value: Any) -> bool:
    """Return whether ``value`` is a frame or a series of pandas or polars, or a table of pyarrow."""
    return is_exactly(value, ("pyarrow", "Table"), *_FRAMES, *_POLARS)


def encode(value: Any) -> bytes:
    """Return ``value`` as a stream; what is of polars goes as a table.

    Raises
    ------
    Refused
        If a column is of a type that Arrow cannot hold, or a label is none that JSON can.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise Refused("pyarrow is not installed here, and tables cross as Arrow", "pip install pyarrow, or send value.to_dict()") from None

    about: dict[str, Any] = {"kind": "table"}
    if is_exactly(value, *_FRAMES):
        table, about = _from_pandas(value)
    elif is_exactly(value, *_POLARS):
        from polars import CompatLevel

        frame = value.to_frame() if is_exactly(value, ("polars", "Series")) else value
        table = frame.to_arrow(compat_level=CompatLevel.oldest())
    else:
        table = value
    _check_schema(table.schema)
    table = _bare(table).unify_dictionaries().replace_schema_metadata({_KEY: plain.encode(about)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=None)) as writer:
        writer.write_table(table)
        if not table.num_rows:
            # a batch, though empty, brings the categories
            writer.write_batch(pa.record_batch([each.combine_chunks() for each in table.columns], schema=table.schema))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes | bytearray, *, most: int) -> Any:
    """Return the frame, series or table.

    Raises
    ------
    Refused
        If the stream is compressed, holds types or metadata that :func:`encode` does not write, or would take far more
        memory than ``most``.
    """
    import pyarrow as pa

    buffer = pa.py_buffer(data)
    for message in pa.ipc.MessageReader.open_stream(buffer):
        _check_message(message)
    with pa.ipc.open_stream(buffer) as reader:
        _check_schema(reader.schema)
        metadata = reader.schema.metadata or {}
        table = reader.read_all()
    cost = sum(_cost(chunk) for column in table.columns for chunk in column.chunks) + table.num_rows
    if cost > _COST * most:
        raise Refused(f"a table of {table.num_rows} rows would take about {cost} bytes of memory", "ask for more with most=")
    table.validate(full=True)
    about = plain.decode(metadata.get(_KEY, b'{"kind": "table"}'))
    return _bare(table) if about["kind"] == "table" else _to_pandas(table, about)


def _bare(table: pa.Table) -> pa.Table:
    """Return ``table`` without the metadata of others, of the table and of its columns."""
    import pyarrow as pa

    return table.cast(pa.schema([field.remove_metadata() for field in table.schema]))


def _from_pandas(value: pd.DataFrame | pd.Series[Any]) -> tuple[pa.Table, dict[str, Any]]:
    import pandas as pd
    import pyarrow as pa

    index, about = value.index, {}
    if isinstance(value, pd.DataFrame):
        columns = [value.iloc[:, at] for at in range(value.shape[1])]
        about = {"kind": "frame", "labels": [_label(each) for each in value.columns], "names": [_label(n) for n in value.columns.names]}
    else:
        columns = [value]
        about = {"kind": "series", "labels": [_label(value.name)]}
    if isinstance(index, pd.RangeIndex):
        about["range"] = [index.start, index.stop, index.step]
        levels = []
    else:
        levels = [index.get_level_values(at).to_series() for at in range(index.nlevels)]
    about["index"] = [_label(name) for name in index.names]
    everything = [*columns, *levels]
    about["types"] = [str(each.dtype) if str(each.dtype) in _NULLABLE else None for each in everything]
    arrays = [_array(each, each.name if at < len(columns) else "of the index") for at, each in enumerate(everything)]
    names = [str(at) for at in range(len(arrays))]
    if not arrays:
        # a table without a column has no rows either; the range says how many
        return pa.table({}), about
    return pa.Table.from_arrays(arrays, names=names), about


def _array(column: pd.Series[Any], label: Any) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    try:
        array = pa.array(column, from_pandas=True)
        _check_type(array.type, f"column {label!r}")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        said = str(error).partition("\n")[0][:200]
        raise Refused(f"column {label!r} of type {column.dtype} cannot be held by Arrow: {said}", "astype(str) or drop it") from None
    return array


def _to_pandas(table: pa.Table, about: dict[str, Any]) -> pd.DataFrame | pd.Series[Any]:
    import pandas as pd

    types, labels = about["types"], [_key(each) for each in about["labels"]]
    series = [_series(column, dtype) for column, dtype in zip(table.columns, types, strict=True)]
    names = [_key(each) for each in about["index"]]
    index: pd.Index[Any]
    if "range" in about:
        start, stop, step = about["range"]
        index = pd.RangeIndex(start, stop, step, name=names[0])
    else:
        levels = [pd.Index(each, name=name) for each, name in zip(series[len(labels) :], names, strict=True)]
        index = levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels, names=names)
    columns = [each.set_axis(index) for each in series[: len(labels)]]
    if about["kind"] == "series":
        return columns[0].rename(labels[0])
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)
    above = [_key(each) for each in about["names"]]
    frame.columns = (
        pd.MultiIndex.from_tuples(labels, names=above) if len(above) > 1 else pd.Index(labels, name=above[0], tupleize_cols=False)
    )
    return frame


def _series(column: pa.ChunkedArray, dtype: str | None) -> pd.Series[Any]:
    import pandas as pd

    if dtype is None:
        series: pd.Series[Any] = column.to_pandas().rename(None)
    elif dtype in _NULLABLE:
        nullable: Any = pd.api.types.pandas_dtype(dtype)
        series = pd.Series(nullable.__from_arrow__(column))
    else:
        raise Refused("arrow with a type of pandas that is not known")
    # what lies on Arrow's memory cannot be written to
    return series.copy()


def _label(label: Any) -> Any:
    """Return a label of a column or an index as JSON holds it: a tuple as a list."""
    if isinstance(label, tuple):
        return [_label(each) for each in label]
    if hasattr(label, "item"):
        label = label.item()
    if type(label) not in (type(None), bool, int, float, str):
        raise Refused(f"the label {str(label)[:60]!r} is of type {type(label).__name__}", "columns.astype(str)")
    return label


def _key(label: Any) -> Any:
    """Return a label as pandas has it."""
    return tuple(_key(each) for each in label) if type(label) is list else _label(label)


def _check_schema(schema: pa.Schema) -> None:
    if len(schema) > _MOST_COLUMNS:
        raise Refused(f"a table of {len(schema)} columns; the most is {_MOST_COLUMNS}", "an array, or fewer columns")
    for field in schema:
        _check_type(field.type, f"column {field.name[:60]!r}")


def _check_type(kind: pa.DataType, where: str) -> None:
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_dictionary(kind):
        return _check_type(kind.value_type, where)
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return _check_type(kind.value_type, where)
    if is_a.is_struct(kind):
        for at in range(kind.num_fields):
            _check_type(kind.field(at).type, where)
        return None
    held = (
        is_a.is_null, is_a.is_boolean, is_a.is_integer, is_a.is_floating, is_a.is_decimal, is_a.is_date, is_a.is_time, is_a.is_timestamp,
        is_a.is_duration, is_a.is_string, is_a.is_large_string, is_a.is_binary, is_a.is_large_binary, is_a.is_fixed_size_binary,
    )  # fmt: skip
    if isinstance(kind, pa.BaseExtensionType) or not any(each(kind) for each in held):
        raise Refused(f"{where} is of type {kind}, which is not let through", "cast it to numbers, times or text")
    return None


def _cost(array: pa.Array) -> int:
    """Return about how many bytes ``array`` takes in pandas; its length alone is only a claim, and may cost nothing to make."""
    import pyarrow as pa

    is_a, kind = pa.types, array.type
    if is_a.is_dictionary(kind):
        return 8 * len(array) + _cost(array.dictionary)
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return 200 * len(array) + _cost(array.values)
    if is_a.is_struct(kind):
        return 300 * len(array) + sum(_cost(array.field(at)) for at in range(kind.num_fields))
    as_object = not is_a.is_primitive(kind) or is_a.is_date(kind) or is_a.is_time(kind)
    return (60 if as_object else 8) * len(array)


def _check_message(message: pa.Message) -> None:
    """Refuse what makes a reader run code of others or take more memory than the message has: extension types and compression."""
    head = message.metadata.to_pybytes()
    if b"ARROW:extension" in head or b"ARROW:experimental" in head:
        raise Refused("arrow with a type of an extension")
    if message.type not in ("schema", "record batch", "dictionary"):
        raise Refused(f"arrow with a message of type {message.type}")
    if message.type == "schema":
        return
    header = _member(head, _follow(head, 0), 2)
    if message.type == "dictionary":
        if _member(head, header, 2):
            raise Refused("arrow with a dictionary that grows")
        header = _member(head, header, 1)
    if _member(head, header, 3):
        raise Refused("arrow that is compressed")


def _follow(head: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", head, at)[0])


def _member(head: bytes, table: int, number: int) -> int:
    """Return where the table or value is that a flatbuffer's table has as its member ``number``, 0 if it has none.

    pyarrow verified the buffer before it gave it out, but does not say whether a batch is compressed
    (``RecordBatch.compression`` in Arrow's format/Message.fbs).
    """
    entries = table - struct.unpack_from("<i", head, table)[0]
    slot = 4 + 2 * number
    if slot >= struct.unpack_from("<H", head, entries)[0]:
        return 0
    offset = struct.unpack_from("<H", head, entries + slot)[0]
    return _follow(head, table + offset) if offset else 0
