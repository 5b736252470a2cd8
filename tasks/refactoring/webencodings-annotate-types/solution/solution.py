# %%
import subprocess
import sys
from pathlib import Path

for name in ("__init__", "custom"):
    print(Path(f"webencodings/{name}.py").read_text())


# %%
def edit(name, *changes):
    """Make each replacement; the numbers say how often it fits."""
    path = Path("webencodings") / name
    text = path.read_text()
    for times, old, new in changes:
        assert text.count(old) == times, (old, text.count(old))
        text = text.replace(old, new)
    path.write_text(text)


def check():
    options = ["--strict", "--no-incremental", "--disallow-any-explicit", "--config-file=", "--cache-dir=/dev/null"]
    done = subprocess.run([sys.executable, "-m", "mypy", *options, "webencodings"], capture_output=True, text=True)
    print(done.stdout, done.stderr)


LABEL = "Encoding | str"
edit(
    "__init__.py",
    (
        1,
        "import codecs\n\n",
        "from __future__ import annotations\n\nimport codecs\n"
        "from collections.abc import Callable, Iterable, Iterator\nfrom typing import Any\n\n",
    ),
    (1, "CACHE = {}", "CACHE: dict[str, Encoding] = {}"),
    (1, "def ascii_lower(string):", "def ascii_lower(string: str) -> str:"),
    (1, "def lookup(label):", "def lookup(label: str) -> Encoding | None:"),
    (1, "def _get_encoding(encoding_or_label):", f"def _get_encoding(encoding_or_label: {LABEL}) -> Encoding:"),
    (1, "def __init__(self, name, codec_info):", "def __init__(self, name: str, codec_info: codecs.CodecInfo) -> None:"),
    (1, "def __repr__(self):", "def __repr__(self) -> str:"),
    (
        1,
        "def decode(input, fallback_encoding, errors='replace'):",
        f"def decode(input: bytes, fallback_encoding: {LABEL}, errors: str = 'replace') -> tuple[str, Encoding]:",
    ),
    (1, "def _detect_bom(input):", "def _detect_bom(input: bytes) -> tuple[Encoding | None, bytes]:"),
    (
        1,
        "def encode(input, encoding=UTF8, errors='strict'):",
        f"def encode(input: str, encoding: {LABEL} = UTF8, errors: str = 'strict') -> bytes:",
    ),
    (
        1,
        "def iter_decode(input, fallback_encoding, errors='replace'):",
        f"def iter_decode(\n    input: Iterable[bytes], fallback_encoding: {LABEL}, errors: str = 'replace'\n"
        ") -> tuple[Iterator[str], Encoding]:",
    ),
    # the encoding comes first, then text
    (
        1,
        "def _iter_decode_generator(input, decoder):",
        "def _iter_decode_generator(input: Iterable[bytes], decoder: IncrementalDecoder) -> Iterator[Any]:",
    ),
    (
        1,
        "def iter_encode(input, encoding=UTF8, errors='strict'):",
        f"def iter_encode(input: Iterable[str], encoding: {LABEL} = UTF8, errors: str = 'strict') -> Iterator[bytes]:",
    ),
    (
        1,
        "def _iter_encode_generator(input, encode):",
        "def _iter_encode_generator(input: Iterable[str], encode: Callable[[str, bool], bytes]) -> Iterator[bytes]:",
    ),
    (
        1,
        "    def __init__(self, fallback_encoding, errors='replace'):",
        f"    def __init__(self, fallback_encoding: {LABEL}, errors: str = 'replace') -> None:",
    ),
    (1, "self._decoder = None", "self._decoder: Callable[[bytes, bool], str] | None = None"),
    (1, "self.encoding = None", "self.encoding: Encoding | None = None"),
    (1, "    def decode(self, input, final=False):", "    def decode(self, input: bytes, final: bool = False) -> str:"),
    (
        1,
        "    def __init__(self, encoding=UTF8, errors='strict'):",
        f"    def __init__(self, encoding: {LABEL} = UTF8, errors: str = 'strict') -> None:",
    ),
)
check()

# %%
# A keyword needs a protocol, decoders take any buffer, and two places can't be said: the default of lookup, and hasattr.
edit(
    "__init__.py",
    (1, "from typing import Any\n\n", "from typing import Any, Protocol\n\n"),
    (1, "encode: Callable[[str, bool], bytes]", "encode: _Encode"),
    (
        1,
        "def _iter_encode_generator",
        "class _Encode(Protocol):\n    def __call__(self, input: str, final: bool = ...) -> bytes: ...\n\n\ndef _iter_encode_generator",
    ),
    (1, "UTF8 = lookup('utf-8')", "UTF8: Encoding = lookup('utf-8')  # type: ignore[assignment]"),
    (1, "        return encoding_or_label\n", "        return encoding_or_label  # type: ignore[return-value]\n"),
)
edit(
    "custom.py",
    (
        1,
        "import codecs\n\n",
        "from __future__ import annotations\n\nimport codecs\nfrom typing import TYPE_CHECKING, Any\n\n"
        "if TYPE_CHECKING:\n    from typing_extensions import Buffer\n\n",
    ),
    (2, "    encoding_table = None", "    encoding_table: Any = None"),
    (2, "    decoding_table = None", "    decoding_table: str | None = None"),
    (1, "    def encode(self, input, errors='strict'):", "    def encode(self, input: str, errors: str = 'strict') -> tuple[bytes, int]:"),
    (1, "    def decode(self, input, errors='strict'):", "    def decode(self, input: Buffer, errors: str = 'strict') -> tuple[str, int]:"),
    (1, "    def encode(self, input, final=False):", "    def encode(self, input: str, final: bool = False) -> bytes:"),
    (1, "    def decode(self, input, final=False):", "    def decode(self, input: Buffer, final: bool = False) -> str:"),
)
check()
