"""Uses of the package: mypy must object to a line that ends in "# wrong", and to no other. It is never run."""

from codecs import CodecInfo, lookup
from typing import assert_type

import webencodings
from webencodings import UTF8, Encoding, IncrementalDecoder, IncrementalEncoder, custom, labels

text, encoding = webencodings.decode(b"x", "utf-8")
assert_type(text, str)
assert_type(encoding, Encoding)
webencodings.decode(b"x", UTF8, "strict")
webencodings.decode("x", "utf-8")  # wrong
webencodings.decode(b"x", None)  # wrong
webencodings.decode(b"x", b"utf-8")  # wrong
webencodings.decode(b"x", UTF8, 1)  # wrong

assert_type(webencodings.encode("x"), bytes)
assert_type(webencodings.encode("x", "latin1"), bytes)
assert_type(webencodings.encode("x", UTF8, errors="strict"), bytes)
webencodings.encode(b"x")  # wrong
webencodings.encode("x", 1)  # wrong

assert_type(webencodings.lookup("utf-8"), Encoding | None)
repr(webencodings.lookup("utf-8").name)  # wrong
webencodings.lookup(b"utf-8")  # wrong
assert_type(webencodings.ascii_lower("X"), str)
webencodings.ascii_lower(b"X")  # wrong

assert_type(UTF8.name, str)
assert_type(UTF8.codec_info, CodecInfo)
Encoding("utf-8", lookup("utf-8"))
Encoding(b"utf-8", lookup("utf-8"))  # wrong
Encoding("utf-8", "utf-8")  # wrong

chunks, found = webencodings.iter_decode([b"x"], "utf-8")
assert_type(found, Encoding)
assert_type("".join(chunks), str)
for chunk in chunks:
    assert_type(chunk, str)
webencodings.iter_decode((part for part in [b"x", b"y"]), UTF8, errors="strict")
webencodings.iter_decode(["x"], "utf-8")  # wrong
for piece in webencodings.iter_encode(iter(["x"]), UTF8):
    assert_type(piece, bytes)
webencodings.iter_encode([b"x"])  # wrong
webencodings.iter_encode(["x"], 7)  # wrong

decoder = IncrementalDecoder("utf-8")
assert_type(decoder.encoding, Encoding | None)
assert_type(decoder.decode(b"x"), str)
assert_type(decoder.decode(b"", final=True), str)
repr(IncrementalDecoder(UTF8).encoding.name)  # wrong
decoder.decode("x")  # wrong
IncrementalDecoder(None)  # wrong
assert_type(IncrementalEncoder().encode("x"), bytes)
assert_type(IncrementalEncoder(UTF8, "strict").encode("x", True), bytes)
IncrementalEncoder().encode(b"x")  # wrong
IncrementalEncoder(1)  # wrong

assert_type(custom.UserCodec().decode(b"x"), tuple[str, int])
assert_type(custom.UserCodec().encode("x"), tuple[bytes, int])
assert_type(custom.UserIncrementalDecoder().decode(b"x", True), str)
assert_type(custom.UserIncrementalEncoder().encode("x"), bytes)
custom.UserCodec().decode("x")  # wrong
custom.UserCodec().encode(b"x")  # wrong
custom.UserIncrementalEncoder().encode(b"x")  # wrong
assert_type(labels.LABELS["utf8"], str)
assert_type(webencodings.PYTHON_NAMES["big5"], str)
