"""Files of an untrusted folder: nothing outside it is ever read, wherever its links lead."""

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
"""Maximum size in bytes of a file that is read as a whole."""
_MOST_BYTES = 16 * 2**30
_MOST_ENTRIES = 250_000
_MOST_DEPTH = 100
_MOST_LINKS = 40
_CHUNK = 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# if a pipe has replaced the file, opening it must not block
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_KINDS = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
_NEITHER = "is neither a file nor a folder, but a {}"
_SHORTER = "became shorter while it was read"
_OUTSIDE = "is a symbolic link that leads outside its folder"


class Unfit(Exception):
    """What is wrong with a file, as the end of a sentence that starts with its path."""


@dataclass(frozen=True)
class Entry:
    """An entry below a folder.

    Attributes
    ----------
    path : PurePosixPath
        Its path relative to the folder.
    info : os.stat_result
        Of the entry itself, even if it is a link.
    link : str or None
        The target of a symbolic link, exactly as stored.
    shown : str
        Its name in messages.
    said : str
        What refers to it, for messages.
    folder : int
        A descriptor of the folder that it is in, or of a file that was requested by itself; open until the next entry
        is requested.
    """

    path: PurePosixPath
    info: os.stat_result
    link: str | None
    shown: str
    said: str
    folder: int

    @property
    def special(self) -> str | None:
        """Its type, if it is neither a file, a folder nor a link."""
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
    """The files of one folder, whose paths are opened one component at a time.

    A link that stays inside is followed when a single file is read, and copied as a link when a folder is copied.
    Pipes, sockets, devices, links that lead outside, oversized files and, when copying, dangling links are errors that
    name the file.

    Parameters
    ----------
    root : Path
        The folder. Its own path may contain links, since the user has chosen it.
    skipped : sequence of str
        Names that are ignored at any depth.
    dangling : bool
        Whether dangling links are allowed. They are copied as they are.
    most_bytes, most_entries : int
        How much may be copied or hashed at once.
    show : callable, optional
        Returns the name in messages of a path relative to the root; by default the absolute path.
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
        """Say whether something exists at a path, even a dangling link."""
        return os.path.lexists(self.root / path)

    def is_file(self, path: str) -> bool:
        """Say whether a path leads to a file that can be read."""
        try:
            with self._opened(path) as descriptor:
                return stat.S_ISREG(os.fstat(descriptor).st_mode)
        except (Unfit, OSError):
            return False

    def read(self, path: str, said: str = "", *, hint: str = "", most: int = MOST_OF_FILE, never: Sequence[str] = ()) -> bytes:
        """Return the content of a file.

        Parameters
        ----------
        path : str
            The file, relative to the root.
        said : str
            What refers to it, for error messages.
        hint : str
            What to do if it does not exist.
        most : int
            Its maximum size in bytes.
        never : sequence of str
            Folders that it may not be in, not even through a link.

        Raises
        ------
        TaskError
            If it cannot be read, is not a file, or is not inside the folder.
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
        """Return the entries of a folder, at any depth, parents first and names in order; or a single file, as ``.``.

        Raises
        ------
        TaskError
            If something in it is neither a file, a folder nor a link, unless ``special`` entries are requested too; or
            if it is too large.
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
        """Raise the error that copying a folder or a file would raise."""
        with _telling(subject or self.show(path), said), self._opened(path) as descriptor:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                for entry in self._walk(descriptor, PurePosixPath(path), said, ()):
                    with _telling(entry.shown, said):
                        self._check_link(path, entry)

    def copy(self, path: str, target: Path, said: str = "", *, subject: str = "", never: Sequence[str] = ()) -> None:
        """Copy a file to ``target``, or the content of a folder into it, overwriting what is there.

        Links are copied as links, and modes are preserved except for special bits. Times are not preserved.

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
        """Return a SHA-256 over the paths and contents of a folder, which need not exist, except the part ``but``.

        Links are not followed. Pipes, sockets and devices count as entries without content.
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
                # its content shows that it exists
                continue
            # the header of a file ends with its size; a letter before that marks other types
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
        """Refuse a link that would lead out of a copy of the folder ``top``; its target is not read."""
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
        """Open a file or folder one path component at a time, so that not even a changing link can lead outside."""
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
        """Return what identifies the folders, whatever their names are."""
        found = {}
        for name in never:
            with contextlib.suppress(OSError, Unfit), self._opened(name) as descriptor:
                info = os.fstat(descriptor)
                found[info.st_dev, info.st_ino] = name
        return found


def tree_hash(root: Path, *, but: str | None = None) -> str:
    """Return a SHA-256 over the paths and contents below ``root``, except the part ``but``.

    Links are not followed, and Python's caches are ignored.

    Raises
    ------
    TaskError
        If it is too large, or something cannot be read.
    """
    return Files(root).hash(but=but)


@contextlib.contextmanager
def _telling(shown: str, said: str, hint: str = "") -> Iterator[None]:
    """Turn a failure into an error that names the file and what refers to it."""
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
        why = f"cannot be read: it is not UTF-8 (line {error.object.count(10, 0, error.start) + 1}: {error.reason})"
    else:
        return
    raise TaskError(f"{shown} {why}{f'; {said}' if said else ''}", hint=hint) from None


def place(root: Path, path: str) -> Path:
    """Return ``root / path`` after making the folders above it, none of which may be a link.

    Raises
    ------
    TaskError
        If something else is in the way, or it would be outside.
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
    """Write a file, replacing a file or link that is there.

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
    """Make a folder unless it exists.

    Raises
    ------
    Unfit
        If something else is there, even a link to a folder.
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
    """Remove what is in the way of a file or link; we made it."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            raise Unfit("is a file or a link where another part of the task has a folder")
        path.unlink()


def _write(source: int, info: os.stat_result, target: Path) -> None:
    """Copy a file, sharing its blocks where the file system supports that."""
    with _writing(target):
        _clear(target)
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            left = info.st_size
            while left:
                try:
                    done = os.copy_file_range(source, made, left)
                except OSError:
                    # not possible between these file systems
                    done = os.sendfile(made, source, None, left)
                if not done:
                    raise Unfit(_SHORTER)
                left -= done
            os.fchmod(made, info.st_mode & 0o777 | 0o600)
        finally:
            os.close(made)
