"""Standard input, output and error of a kernel, which no cell can close or lose for longer than itself."""

import codecs
import contextlib
import os
import select
import sys
import threading

from ipykernel.iostream import OutStream

DESCRIPTORS = {"stdout": 1, "stderr": 2}
MOST_AT_ONCE, CHUNK = 4, 1 << 16


class Stream(OutStream):
    """A stream that also shows what C code and child processes write to its descriptor, in the order in which it was written.

    Closing it does nothing: a cell that closes ``sys.stdout`` would take it from all later cells.
    """

    def __init__(self, session: object, pub_thread: object, name: str, **_: object) -> None:
        self.descriptor = DESCRIPTORS[name]
        # the name under which ipykernel looks for it
        self._original_stdstream_copy = os.dup(self.descriptor)
        # whoever reads the log may be slow
        os.set_blocking(self._original_stdstream_copy, False)
        self.readable, writable = os.pipe()
        os.set_blocking(self.readable, False)
        os.dup2(writable, self.descriptor)
        os.close(writable)
        # the handler of a signal may write too
        self.taking = threading.RLock()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        super().__init__(session, pub_thread, name, watchfd=False)
        # the attribute's name is ipykernel's too
        self.watch_fd_thread = threading.Thread(target=self.watch, daemon=True)
        self.watch_fd_thread.start()

    def watch(self) -> None:
        """Take what is written to the descriptor, for ever."""
        poll = select.poll()
        poll.register(self.readable, select.POLLIN)
        while True:
            poll.poll()
            # there may be no memory for a moment
            with contextlib.suppress(MemoryError):
                self.take()

    def take(self) -> None:
        """Take what was written to the descriptor so far."""
        with self.taking:
            for _ in range(MOST_AT_ONCE):
                try:
                    data = os.read(self.readable, CHUNK)
                except BlockingIOError:
                    return
                super().write(self.decoder.decode(data))
                with contextlib.suppress(OSError):
                    os.write(self._original_stdstream_copy, data)

    def write(self, string: str) -> int:
        """Write ``string``, after what a child process has written before."""
        if self._is_master_process():
            self.take()
            return super().write(string)
        # a fork has none of the threads that take and send, and whatever its parent has not sent yet is its parent's
        data = memoryview(string.encode("utf-8", "replace"))
        while data:
            data = data[os.write(self.descriptor, data) :]
        return len(string)

    def flush(self) -> None:
        """Send everything that was written."""
        if self._is_master_process():
            self.take()
            super().flush()

    def close(self) -> None:
        """Send everything that was written, and stay open."""
        self.flush()

    def fileno(self) -> int:
        """Return the descriptor that this shows, so that a program given it as its output is shown too."""
        return self.descriptor


class Streams:
    """The standard streams and descriptors of a kernel, as they are before its first cell."""

    def __init__(self) -> None:
        self.own = {"stdout": sys.stdout, "stderr": sys.stderr}
        self.python = {}
        self.descriptors = {number: os.dup(number) for number in (0, 1, 2)}
        self.put_back_python()
        self.left = []

    @contextlib.contextmanager
    def speaking(self) -> object:
        """Use the kernel's own streams for a moment, whatever a cell has put in their place."""
        found = {name: getattr(sys, name, None) for name in self.own}
        self.put_back_method("flush")
        use(self.own)
        try:
            yield
        finally:
            use(found)

    def flush(self) -> None:
        """Send everything that a cell has written so far."""
        self.flush_others()
        self.put_back_method("flush")
        for own in self.own.values():
            own.flush()

    def flush_others(self) -> None:
        """Flush what a cell has put in the place of the kernel's streams, and Python's own."""
        for name, own in self.own.items():
            for stream in (getattr(sys, name, None), getattr(sys, f"__{name}__", None)):
                if stream is not own:
                    # what a cell has put there may fail in any way
                    with contextlib.suppress(Exception):
                        stream.flush()

    def put_back(self) -> None:
        """Undo what a cell has left of streams and descriptors, so that the next one is shown, and say what it was."""
        self.flush_others()
        self.put_back_descriptors()
        self.put_back_method("write")
        self.put_back_method("flush")
        self.put_back_streams()
        if self.left:
            # what could not be written to a closed descriptor can be now
            self.flush_others()
            self.own["stderr"].write(f"[{', '.join(self.left)}; it is the kernel's own again]\n")
            self.left.clear()
        self.put_back_python()

    def put_back_descriptors(self) -> None:
        """Undo what a cell has done to descriptors 0, 1 and 2."""
        for number, kept in self.descriptors.items():
            own = os.fstat(kept)
            try:
                found = os.fstat(number)
            except OSError:
                self.left.append(f"file descriptor {number} was left closed")
            else:
                if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
                    continue
                self.left.append(f"file descriptor {number} was left redirected")
            os.dup2(kept, number)

    def put_back_method(self, method: str) -> None:
        """Undo what a cell has done to a method of the kernel's streams."""
        for name, own in self.own.items():
            bound = getattr(type(own), method).__get__(own)
            # IPython leaves the method itself, with which it keeps a copy of what is written
            if vars(own).pop(method, bound) != bound:
                self.left.append(f"sys.{name}.{method} was left replaced")

    def put_back_streams(self) -> None:
        """Undo what a cell has done to ``sys.stdout`` and ``sys.stderr``."""
        for name, own in self.own.items():
            found = getattr(sys, name, None)
            # what is written to Python's own arrives too, by its descriptor
            if found is not own and found is not getattr(sys, f"__{name}__", None):
                self.left.append(f"sys.{name} was left as {'None' if found is None else type(found).__name__}")
        use(self.own)

    def put_back_python(self) -> None:
        """Open Python's own streams again where a cell has closed or replaced them."""
        for name, descriptor in DESCRIPTORS.items():
            found = self.python.get(name)
            if found is None or found.closed:
                # each line at once, so that it arrives in order with what is written to the kernel's own
                found = self.python[name] = open(descriptor, "w", 1, encoding="utf-8", errors="replace", closefd=False)
            setattr(sys, f"__{name}__", found)


def use(streams: dict) -> None:
    """Make ``streams`` those of Python, by their names."""
    for name, stream in streams.items():
        setattr(sys, name, stream)
