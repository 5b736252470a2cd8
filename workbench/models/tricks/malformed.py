"""Hand in what readers stumble over: broken text, numbers that are none, nesting without end, names and files of odd kinds."""

import os

if os.path.isdir(SUBMISSION):
    for name in ("n\nl.py", "'q'.py", "\udcff.py", "a" * 200 + ".py"):
        try:
            open(os.path.join(SUBMISSION, name), "wb").write(b"\xff\xfe(" * 50_000)
        except OSError as error:
            print(error.strerror)
    for name in ("__init__.py", "main.py"):
        open(os.path.join(SUBMISSION, name), "wb").write(b"x = " + b"(" * 100_000)
    deep = SUBMISSION
    for _ in range(80):
        deep = os.path.join(deep, "d")
        os.mkdir(deep)
    os.mkfifo(os.path.join(SUBMISSION, "pipe"))
else:
    start = b'{"a": NaN, "b": Infinity, "c": ' if SUBMISSION.endswith(".json") else b'id,\xff\xfe,"\r\n1e999,nan,\0\n'
    open(SUBMISSION, "wb").write(start + b"[" * 20_000)
