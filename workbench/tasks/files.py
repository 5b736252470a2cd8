"""Files of a folder that is not trusted: nothing outside it is ever read, wherever its links lead."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workbench.errors import HostError, TaskError, shortage

MOST_OF_FILE = 256 * 2**20
"""Bytes of a file that is read as a whole."""
_MOST_BYTES = 16 * 2**30
_MOST_ENTRIES = 250_000
_MOST_DEPTH = 100
_MOST_LINKS = 40
_CHUNK = 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# a pipe that took the file's place must not block
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_KINDS = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
_NEITHER = "is neither a file nor a folder, but a {}"
_SHORTER = "became shorter while it was read"
_OUTSIDE = "is a symbolic link that leads outside its folder"


class Unfit(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its path."""


@dataclass(frozen=True)
class Entry:
    """Something below a folder.

    Attributes
    ----------
    path : PurePosixPath
        Where it is, from the folder.
    info : os.stat_result
        Of the entry itself, also where it is a link.
    link : str or None
        Where a symbolic link leads, as it says.
    shown : str
        What messages call it.
    said : str
        Who names it, for messages.
    folder : int
        A descriptor of the folder that it is in, or of a file that was asked for alone; open until the next entry is
        asked for.
    """

    path: PurePosixPath
    info: os.stat_result
    link: str | None
    shown: str
    said: str
    folder: int

    @property
    def special(self) -> str | None:
        """What it is called where it is neither a file, a folder nor a link."""
        return _KINDS.get(stat.S_IFMT(self.info.st_mode))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.info.st_mode)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Open a regular file.

        Raises
        ------
        TaskError
            If it cannot be read, or was replaced since it was found.
        """
        with _telling(self.shown, self.said), contextlib.ExitStack() as closing:
            yield _regular(closing, self.path.name, self.folder) if self.path.name else self.folder

    def data(self) -> Iterator[bytes]:
        """Return the content of a regular file, of the size that it had when it was found."""
        with self.opened() as descriptor:
            left = self.info.st_size
            while left:
                chunk = os.read(descriptor, min(left, _CHUNK))
                if not chunk:
                    raise Unfit(_SHORTER)
                left -= len(chunk)
                yield chunk


class Files:
    """The files of one folder, which are opened part by part of their paths.

    A link that stays inside is followed where one file is read, and stays a link where folders are copied. Pipes, sockets
    and devices, links that lead outside or, in a copy, nowhere, and what is too large are errors that name the file.

    Parameters
    ----------
    root : Path
        The folder. It may itself be reached through links: it is the one that the user has named.
    skipped : sequence of str
        Names that are passed over wherever they are.
    dangling : bool
        Whether a link may lead nowhere. It is copied then as it is.
    most_bytes, most_entries : int
        How much may be copied or hashed in one go.
    show : callable, optional
        How messages name a path that is given from the root; by default as a whole.
    """

    def __init__(
        self,
        root: Path,
        *,
        skipped: Sequence[str] = ("__pycache__",),
        dangling: bool = False,
        most_bytes: int = _MOST_BYTES,
        most_entries: int = _MOST_ENTRIES,
        show: Callable[[str], str] | None = None,
    ) -> None:
        self.root = root
        self.show = show or self._whole
        self.skipped = skipped
        self.dangling = dangling
        self.most_bytes = most_bytes
        self.most_entries = most_entries

    def _whole(self, path: str) -> str:
        return str(self.root / path)

    def has(self, path: str) -> bool:
        """Say whether something is there, be it a link that leads nowhere."""
        return os.path.lexists(self.root / path)

    def is_file(self, path: str) -> bool:
        """Say whether a path leads to a file that can be read."""
        try:
            with self._opened(path) as descriptor:
                return stat.S_ISREG(os.fstat(descriptor).st_mode)
        except (Unfit, OSError):
            return False

    def read(self, path: str, said: str = "", *, hint: str = "", most: int = MOST_OF_FILE, never: Sequence[str] = ()) -> bytes:
        """Return what a file holds.

        Parameters
        ----------
        path : str
            The file, from the root.
        said : str
            Who names it, for the message of an error.
        hint : str
            What to do where it does not exist.
        most : int
            How many bytes it may have.
        never : sequence of str
            Folders that it may not be in, be it by a link.

        Raises
        ------
        TaskError
            If it cannot be read, is no file, or is not inside.
        """
        with _telling(self.show(path), said, hint), self._opened(path, never) as descriptor:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise Unfit("is a folder, where a file is needed")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(most + 1)
            if len(data) > most:
                raise Unfit(f"is larger than the {most} bytes it may have")
            return data

    def text(self, path: str, said: str = "", *, hint: str = "", most: int = MOST_OF_FILE, never: Sequence[str] = ()) -> str:
        """Return the text of a file, see :meth:`read`."""
        data = self.read(path, said, hint=hint, most=most, never=never)
        with _telling(self.show(path), said, hint):
            return data.decode("utf-8")

    def entries(self, path: str = ".", said: str = "", *, never: Sequence[str] = (), special: bool = False) -> Iterator[Entry]:
        """Return what is in a folder, at any depth, a folder before its content and names in order; or a file, as ``.``.

        Raises
        ------
        TaskError
            If something in it is neither a file, a folder nor a link, unless ``special`` things are asked for too; or if
            there is too much.
        """
        with _telling(self.show(path), said), self._opened(path, never) as descriptor:
            info = os.fstat(descriptor)
            if stat.S_ISDIR(info.st_mode):
                yield from self._walk(descriptor, PurePosixPath(path), said, never, special=special)
            elif info.st_size > self.most_bytes:
                raise Unfit(f"is larger than the {self.most_bytes} bytes that it may have")
            else:
                yield Entry(PurePosixPath(), info, None, self.show(path), said, descriptor)

    def check(self, path: str, said: str = "", *, subject: str = "") -> None:
        """Raise the error that copying a folder or a file would."""
        with _telling(subject or self.show(path), said), self._opened(path) as descriptor:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                for entry in self._walk(descriptor, PurePosixPath(path), said, ()):
                    with _telling(entry.shown, said):
                        self._check_link(path, entry)

    def copy(self, path: str, target: Path, said: str = "", *, subject: str = "", never: Sequence[str] = ()) -> None:
        """Copy a file to ``target``, or what is in a folder into it, over what is there.

        Links stay links, and modes stay what they are but for special bits. Times do not.

        Raises
        ------
        TaskError
            If something cannot be copied.
        HostError
            If it cannot be written.
        """
        with _telling(subject or self.show(path), said), self._opened(path, never) as descriptor:
            info = os.fstat(descriptor)
            if not stat.S_ISDIR(info.st_mode):
                if info.st_size > self.most_bytes:
                    raise Unfit(f"is larger than the {self.most_bytes} bytes that it may have")
                _write(descriptor, info, target)
                return
            make_folder(target)
            for entry in self._walk(descriptor, PurePosixPath(path), said, never):
                to = target / entry.path
                with _telling(entry.shown, said):
                    if entry.is_folder:
                        make_folder(to)
                    elif entry.link is None:
                        with entry.opened() as file:
                            _write(file, entry.info, to)
                    else:
                        self._check_link(path, entry)
                        with _writing(to):
                            _clear(to)
                            to.symlink_to(entry.link)

    def hash(self, path: str = ".", said: str = "", *, but: str | None = None) -> str:
        """Return a SHA-256 over the paths and contents in a folder, all ``but`` a part of it; that of nothing where it does not exist.

        Links are not followed. Pipes, sockets and devices are there and have no content.
        """
        digest = hashlib.sha256()
        folder: Entry | None = None
        for entry in self.entries(path, said, special=True) if self.has(path) else ():
            if entry.path.parts[:1] == (but,):
                continue
            if folder is not None and entry.path.parent != folder.path:
                digest.update(os.fsencode(folder.path) + b"\0d\0")
            folder = entry if entry.is_folder else None
            if folder is not None:
                # what is in it says that it is there
                continue
            # the size ends the head of a file; a letter before it says that it is something else
            digest.update(os.fsencode(entry.path) + b"\0")
            if entry.special:
                digest.update(b"s\0")
            elif entry.link is not None:
                target = os.fsencode(entry.link)
                digest.update(b"l%d\0" % len(target) + target)
            else:
                digest.update(b"%s%d\0" % (b"x" if entry.info.st_mode & 0o100 else b"", entry.info.st_size))
                for chunk in entry.data():
                    digest.update(chunk)
        if folder is not None:
            digest.update(os.fsencode(folder.path) + b"\0d\0")
        return digest.hexdigest()

    def _walk(self, descriptor: int, at: PurePosixPath, said: str, never: Sequence[str], *, special: bool = False) -> Iterator[Entry]:
        forbidden = self._identities(never)
        entries, size = 0, 0

        def walk(folder: int, above: PurePosixPath) -> Iterator[Entry]:
            nonlocal entries, size
            if len(above.parts) > _MOST_DEPTH:
                raise Unfit(f"is nested deeper than {_MOST_DEPTH} folders")
            for name in sorted(os.listdir(folder)):
                if name in self.skipped:
                    continue
                path = above / name
                shown = self.show(str(at / path))
                with _telling(shown, said):
                    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    entries += 1
                    size += info.st_size if stat.S_ISREG(info.st_mode) else 0
                    if entries > self.most_entries:
                        raise Unfit(f"is one too many: a folder may hold {self.most_entries} files and folders")
                    if size > self.most_bytes:
                        raise Unfit(f"goes beyond the {self.most_bytes} bytes that a folder may hold")
                    if not special and (kind := _KINDS.get(stat.S_IFMT(info.st_mode))):
                        raise Unfit(_NEITHER.format(kind))
                    link = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(info.st_mode) else None
                    yield Entry(path, info, link, shown, said, folder)
                    if stat.S_ISDIR(info.st_mode):
                        inner = os.open(name, _FOLDER, dir_fd=folder)
                        try:
                            _refuse(inner, forbidden)
                            yield from walk(inner, path)
                        finally:
                            os.close(inner)

        return walk(descriptor, PurePosixPath())

    def _check_link(self, top: str, entry: Entry) -> None:
        """Refuse a link that would lead elsewhere from a copy of the folder ``top``; what it leads to is not read."""
        if entry.link is None:
            return
        depth = len(entry.path.parts) - 1
        for part in PurePosixPath(entry.link).parts:
            depth += -1 if part == ".." else 1
            if depth < 0 or part.startswith("/"):
                raise Unfit(f"{_OUTSIDE}, to {entry.link!r}")
        inside = os.path.realpath(self.root / top)
        there = os.path.realpath(os.path.join(inside, entry.path.parent, entry.link))  # noqa: PTH118
        if os.path.commonpath([inside, there]) != inside:
            raise Unfit(f"{_OUTSIDE}, to {entry.link!r}")
        if not self.dangling and not os.path.exists(there):  # noqa: PTH110
            raise Unfit(f"is a symbolic link that leads nowhere, to {entry.link!r}")

    @contextlib.contextmanager
    def _opened(self, path: str, never: Sequence[str] = ()) -> Iterator[int]:
        """Open a file or folder one part of its path after the other, so that no link can lead outside, whoever changes it meanwhile."""
        forbidden = self._identities(never)
        todo = list(reversed(PurePosixPath(path).parts))
        links = 0
        with contextlib.ExitStack() as closing:
            above = [_owned(closing, os.open(self.root, os.O_RDONLY | os.O_DIRECTORY))]
            while todo:
                part = todo.pop()
                if part == ".." or part.startswith("/"):
                    above.pop()
                    if not above or part != "..":
                        raise Unfit(_OUTSIDE if links else "is outside its folder")
                    continue
                info = _found(part, above[-1], links)
                if stat.S_ISLNK(info.st_mode):
                    links += 1
                    if links > _MOST_LINKS:
                        raise Unfit("is a symbolic link that leads in a circle")
                    todo += reversed(PurePosixPath(os.readlink(part, dir_fd=above[-1])).parts)
                elif stat.S_ISDIR(info.st_mode):
                    above.append(_owned(closing, os.open(part, _FOLDER, dir_fd=above[-1])))
                    _refuse(above[-1], forbidden)
                elif todo:
                    raise Unfit("does not exist")
                elif kind := _KINDS.get(stat.S_IFMT(info.st_mode)):
                    raise Unfit(_NEITHER.format(kind))
                else:
                    above.append(_regular(closing, part, above[-1]))
            yield above[-1]

    def _identities(self, never: Sequence[str]) -> dict[tuple[int, int], str]:
        """Return what tells folders apart whatever they are called."""
        found = {}
        for name in never:
            with contextlib.suppress(OSError, Unfit), self._opened(name) as descriptor:
                info = os.fstat(descriptor)
                found[info.st_dev, info.st_ino] = name
        return found


def tree_hash(root: Path, *, but: str | None = None) -> str:
    """Return a SHA-256 over the paths and contents below ``root``, all ``but`` a part of it.

    Links are not followed, and caches of Python passed over.

    Raises
    ------
    TaskError
        If there is too much, or something cannot be read.
    """
    return Files(root).hash(but=but)


@contextlib.contextmanager
def _telling(shown: str, said: str, hint: str = "") -> Iterator[None]:
    """Turn what is wrong into an error that names the file and who names it."""
    try:
        yield
    except Unfit as error:
        why = str(error)
    except (FileNotFoundError, NotADirectoryError):
        why = "does not exist"
    except OSError as error:
        if remedy := shortage(error):
            raise HostError(f"{shown} cannot be read: {error.strerror}", hint=remedy) from error
        why = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        why = f"cannot be read: it is not UTF-8 ({error.reason} at byte {error.start})"
    else:
        return
    raise TaskError(f"{shown} {why}{f'; {said}' if said else ''}", hint=hint) from None


def place(root: Path, path: str) -> Path:
    """Return ``root / path`` with the folders above it made, none of which may be a link.

    Raises
    ------
    TaskError
        If something else is in its place, or it would lie outside.
    """
    *above, name = PurePosixPath(path).parts or (".",)
    if ".." in (*above, name) or PurePosixPath(path).is_absolute():
        raise TaskError(f"{path!r} leads outside the folder it is copied into")
    folder = root
    folder.mkdir(parents=True, exist_ok=True)
    for part in above:
        folder /= part
        try:
            make_folder(folder)
        except Unfit as error:
            raise TaskError(f"{path!r} cannot be copied to: {folder} {error}") from None
    return folder / name


def write(target: Path, data: bytes) -> None:
    """Write a file, in the place of a file or link that is there.

    Raises
    ------
    TaskError
        If a folder is there.
    HostError
        If it cannot be written.
    """
    with _telling(str(target), ""), _writing(target):
        _clear(target)
        target.write_bytes(data)


def make_folder(path: Path) -> None:
    """Make a folder unless it is there.

    Raises
    ------
    Unfit
        If something else is there, be it a link to a folder.
    HostError
        If it cannot be made.
    """
    with _writing(path):
        try:
            path.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise Unfit("is a folder where another part of the task has a file or a link") from None


def _owned(closing: contextlib.ExitStack, descriptor: int) -> int:
    closing.callback(os.close, descriptor)
    return descriptor


def _regular(closing: contextlib.ExitStack, name: str, folder: int) -> int:
    descriptor = _owned(closing, os.open(name, _FILE, dir_fd=folder))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Unfit("was replaced while it was read")
    return descriptor


def _found(part: str, folder: int, links: int) -> os.stat_result:
    try:
        return os.stat(part, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise Unfit("is a symbolic link that leads nowhere" if links else "does not exist") from None
    except ValueError as error:
        raise Unfit(f"is no path: {error}") from None


def _refuse(folder: int, forbidden: dict[tuple[int, int], str]) -> None:
    info = os.fstat(folder)
    if (name := forbidden.get((info.st_dev, info.st_ino))) is not None:
        raise Unfit(f"leads into the task's folder {name}, which no agent may see")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}", hint=shortage(error) or "") from error


def _clear(path: Path) -> None:
    """Make room for a file or link; what is there is ours."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            raise Unfit("is a file or a link where another part of the task has a folder")
        path.unlink()


def _write(source: int, info: os.stat_result, target: Path) -> None:
    """Copy a file, without a byte being copied where the file system can share them."""
    with _writing(target):
        _clear(target)
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            left = info.st_size
            while left:
                try:
                    done = os.copy_file_range(source, made, left)
                except OSError:
                    # not between these file systems
                    done = os.sendfile(made, source, None, left)
                if not done:
                    raise Unfit(_SHORTER)
                left -= done
            os.fchmod(made, info.st_mode & 0o777 | 0o600)
        finally:
            os.close(made)
