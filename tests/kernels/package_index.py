"""A package index on this machine."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

NAME = "workbench-made-up"


def wheel(folder: Path, version: str, *, name: str = NAME, module: str = "made_up", requires: str = "") -> None:
    """Write a package of one module, which knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (f"Requires-Dist: {requires}\n" if requires else "")
    parts = {
        f"{module}.py": f"version = {version!r}\n",
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as file:
        for path, text in parts.items():
            file.writestr(path, text)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves folders as pip expects an index to be."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def index(folder: Path, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve a package index with two versions of one package, and a newer version of one of the environment's; yield its port."""
    simple = folder / "served" / "simple"
    for version in ("1.0", "2.0"):
        wheel(simple / NAME, version, requires="traitlets")
    wheel(simple / "traitlets", "99.0", name="traitlets", module="traitlets_of_the_index")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder / "served")) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
