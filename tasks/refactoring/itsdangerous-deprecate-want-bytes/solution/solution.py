# %%
import re
import subprocess
import sys
from pathlib import Path

files = sorted(Path("itsdangerous").rglob("*.py"))
for path in files:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if "bytes" in line and re.search(r"\b(want|to)_bytes\b", line):
            print(f"{path}:{number}: {line.strip()}")
print(Path("itsdangerous/encoding.py").read_text()[:900])

# %%
# Nothing is called to_bytes yet but int_to_bytes, so whole words can be replaced; then the old name comes back as a shim.
for path in files:
    text = path.read_text()
    path.write_text(re.sub(r"\bwant_bytes\b", "to_bytes", text))


def edit(name, old, new):
    """Make a replacement, which must fit exactly once."""
    path = Path("itsdangerous") / name
    text = path.read_text()
    assert text.count(old) == 1, (name, old, text.count(old))
    path.write_text(text.replace(old, new))


edit(
    "__init__.py",
    "from .encoding import to_bytes as to_bytes\n",
    "from .encoding import to_bytes as to_bytes\nfrom .encoding import want_bytes as want_bytes\n",
)
edit("encoding.py", "import typing as t\n", "import typing as t\nimport warnings\n")
edit(
    "encoding.py",
    "def base64_encode(",
    '''def want_bytes(
    s: str | bytes, encoding: str = "utf-8", errors: str = "strict"
) -> bytes:
    """Deprecated, use :func:`to_bytes`."""
    warnings.warn(
        "'want_bytes' is deprecated, use 'to_bytes' instead.",
        DeprecationWarning,
        stacklevel=2,
    )
    return to_bytes(s, encoding, errors)


def base64_encode(''',
)

# %%
check = """
import warnings
warnings.simplefilter("error")
import itsdangerous
signer = itsdangerous.URLSafeTimedSerializer("key")
print(signer.loads(signer.dumps({"a": 1}), max_age=10), itsdangerous.to_bytes("x"))
warnings.simplefilter("always")
print(itsdangerous.want_bytes("ä", "ascii", errors="ignore"))
"""
done = subprocess.run([sys.executable, "-B", "-c", check], capture_output=True, text=True, check=True)
print(done.stdout, done.stderr)
assert "<string>:8: DeprecationWarning" in done.stderr
print(subprocess.run(["grep", "-rn", "want_bytes", "itsdangerous", "--include=*.py"], capture_output=True, text=True).stdout)
