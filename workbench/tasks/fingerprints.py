"""The content of a file or folder of a checkout, as hashes; unmodified files are not read again."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from workbench import paths
from workbench.tasks.files import Entry, Files

_RACY_NS = 2 * 10**9
"""A file that was changed so recently before it was read may change again without looking different."""

_SMALL = 2**20
"""A number of bytes that is read as fast as stored fingerprints would be."""


class Content(NamedTuple):
    """A file or link, by the ids that git gives its content in both repository formats."""

    kind: str
    """``f`` for a file, ``x`` for an executable file, ``l`` for a link, ``d`` for a folder."""
    sha1: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The content of a file or folder.

    Attributes
    ----------
    contents : mapping of str to Content
        By path relative to the folder; a single file is ``"."``.
    """

    contents: Mapping[str, Content] = field(default_factory=dict)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of paths, kinds and contents, which is everything about a file that reaches an agent."""
        digest = hashlib.sha256()
        for path, content in self.contents.items():
            digest.update(f"{content.kind}{content.sha256}".encode() + os.fsencode(path) + b"\0")
        return digest.hexdigest()


def snapshot(files: Files, path: str) -> Snapshot:
    """Return the content of a file or folder; see :meth:`Files.entries` for the errors.

    A file is read again unless its size, inode and times are unchanged. One of these, the time of the last status
    change (ctime), cannot be set by a program.
    """
    kept = paths.cache() / "fingerprints" / f"{hashlib.sha256(os.fsencode(files.root / path)).hexdigest()[:32]}.json"
    known = _known(kept)
    seen: dict[str, list[Any]] = {}
    contents: dict[str, Content] = {}
    now = time.time_ns()
    for entry in files.entries(path):
        name = str(entry.path)
        if entry.is_folder:
            contents[name] = Content("d")
        elif entry.link is not None:
            contents[name] = _content("l", os.fsencode(entry.link))
        else:
            info = entry.info
            stamp = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
            before = known.get(name)
            ids = before[4:] if before is not None and before[:4] == stamp else _ids(entry)
            contents[name] = Content("x" if info.st_mode & 0o100 else "f", *ids)
            if max(stamp[1:3]) < now - _RACY_NS:
                seen[name] = [*stamp, *ids]
    if seen != known and sum(stamp[0] for stamp in seen.values()) > _SMALL:
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
        new.write_text(json.dumps(seen), encoding="utf-8")
        new.replace(kept)
    return Snapshot(contents)


def sha256(files: Files, path: str) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    for entry in files.entries(path):
        for chunk in entry.data():
            digest.update(chunk)
    return digest.hexdigest()


def _known(kept: Path) -> dict[str, list[Any]]:
    try:
        return dict(json.loads(kept.read_bytes()))
    except (OSError, ValueError):
        return {}


def _content(kind: str, data: bytes) -> Content:
    head = b"blob %d\0" % len(data)
    return Content(kind, hashlib.sha1(head + data, usedforsecurity=False).hexdigest(), hashlib.sha256(head + data).hexdigest())


def _ids(entry: Entry) -> tuple[str, str]:
    head = b"blob %d\0" % entry.info.st_size
    digests = hashlib.sha1(head, usedforsecurity=False), hashlib.sha256(head)
    for chunk in entry.data():
        for digest in digests:
            digest.update(chunk)
    return digests[0].hexdigest(), digests[1].hexdigest()
