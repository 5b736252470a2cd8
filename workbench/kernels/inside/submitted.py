"""Run submitted code in a sandbox that contains nothing else: no grader, no hidden files, nothing of an earlier run.

Started by ``launch.py`` as ``submitted.py FOLDER``. FOLDER is first on the code's import path. Standard input begins
with a line that says how many bytes of code follow; the rest is input for the code. It never imports workbench.
"""

import os
import sys
import types


def read_exactly(size: int) -> bytes:
    """Return the next ``size`` bytes of standard input, and read no more."""
    read = bytearray()
    while len(read) < size:
        part = os.read(0, size - len(read))
        if not part:
            raise EOFError("the code to be run was cut off")
        read += part
    return bytes(read)


def main() -> None:
    """Read the code and run it in this process."""
    size = bytearray()
    while (digit := read_exactly(1)) != b"\n":
        size += digit
    code = read_exactly(int(size))
    sys.dont_write_bytecode = True
    sys.path.insert(0, sys.argv[1])
    sys.argv = ["submitted"]
    # a module without a file: processes that the code starts must not run this program again
    program = types.ModuleType("__main__")
    sys.modules["__main__"] = program
    exec(compile(code, "<grader>", "exec"), program.__dict__)


main()
