"""Make the new module import the five from where they are, and have everybody import them from the new one."""

import re
from pathlib import Path

names = ["_ansi_re", "strip_ansi", "_is_jupyter_kernel_output", "should_strip_ansi", "term_len"]
for path in Path("click").glob("*.py"):
    text = path.read_text()
    if path.name != "_compat.py":
        path.write_text(re.sub(r"from \._compat import (_ansi_re|strip_ansi|should_strip_ansi|term_len)\b", r"from ._ansi import \1", text))
Path("click/_ansi.py").write_text("".join(f"from ._compat import {name} as {name}\n" for name in names))
