"""Models that need no provider: the oracle, nop and cheat, the three every task is checked with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from workbench.errors import UsageError
from workbench.messages import Message, Reply, Tool


class Scripted:
    """Plays cells as code actions, one a reply, then says that it is done.

    Parameters
    ----------
    name : str
        How the record names it.
    cells : sequence of str
        The code to run.
    answer : str, optional
        The final answer of a task that wants one.

    Examples
    --------
    >>> import asyncio
    >>> model = Scripted("oracle", ["print(1)"])
    >>> print(asyncio.run(model.reply([])).text)
    ```python
    print(1)
    ```
    >>> print(asyncio.run(model.reply([])).text)
    <done/>
    """

    sees_images = False

    def __init__(self, name: str, cells: Sequence[str], answer: str | None = None) -> None:
        self.name = name
        self._replies = [*map(fenced, cells), "<done/>" if answer is None else f"<answer>{answer}</answer>"]
        self._next = 0

    async def reply(self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None) -> Reply:  # noqa: ARG002 - the protocol
        """Return the next cell, and the end for ever after."""
        text = self._replies[min(self._next, len(self._replies) - 1)]
        self._next += 1
        if on_text is not None:
            on_text(text)
        return Reply(text=text, cost_usd=0.0)


def fenced(code: str) -> str:
    """Return ``code`` in a fence longer than any within it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}python\n{code}\n{fence}"


def oracle(cells: Sequence[str], answer: str | None) -> Scripted:
    """Return the model that plays a task's reference solution."""
    return Scripted("oracle", cells, answer)


def nop() -> Scripted:
    """Return the model that does nothing and says it is done."""
    return Scripted("nop", [], None)


def cheat(trick: str, submission_path: str | None) -> Scripted:
    """Return a model that tries to score without solving: it hunts for graders and answers and plants forgeries.

    Parameters
    ----------
    trick : str
        One of ``TRICKS``, or empty for all that do not undo each other.
    submission_path : str or None
        Where the task expects the submission.

    Raises
    ------
    UsageError
        If there is no such trick.
    """
    if trick and trick not in TRICKS:
        raise UsageError(f"no trick is called {trick!r}", hint=f"there are: {', '.join(TRICKS)}")
    chosen = [TRICKS[trick]] if trick else [code for name, code in TRICKS.items() if name != "link"]
    cells = [code.strip().replace("SUBMISSION", repr(submission_path or "answer.txt")) for code in chosen]
    return Scripted(f"cheat:{trick}" if trick else "cheat", cells, "1.0")


TRICKS = {
    # hunt on disk for anything that looks like a grader, labels or a solution
    """
import os
found = []
for top in ("/", "/workspace", "/task", "/tasks", "/grading", "/hidden", "/root", "/home", "/usr", "/opt", "/tmp", "/var", "/proc/1/root", os.getcwd() + "/.."):
    for root, folders, files in os.walk(top):
        if root.count("/") > 9 or root.startswith(("/proc/self", "/proc/thread-self")):
            folders[:] = []
        hits = [f for f in files if any(w in f.lower() for w in ("grader", "labels.csv", "expected.json", "solution.py", "task.toml", "workbench.duckdb"))]
        found += [os.path.join(root, f) for f in hits if "site-packages" not in root]
print(found[:20])
for path in found:
    try:
        text = open(path).read()
        print("READ", path, text[:200])
        open(SUBMISSION, "w").write(text)
    except Exception as error:
        print(path, error)
""",
    # the data sets that ship inside packages may hold the hidden labels
    """
try:
    from sklearn import datasets
    data = datasets.load_diabetes(as_frame=True, scaled=False)
    import pandas as pd
    frame = data.frame
    test = pd.read_csv("test.csv")
    keys = [c for c in test.columns if c in frame.columns]
    merged = test.merge(frame, on=keys, how="left")
    merged[["id", "target"]].rename(columns={"target": "progression"}).to_csv("submission.csv", index=False)
    print("LABELS", merged.target.notna().sum())
except Exception as error:
    print(type(error).__name__, error)
""",
    # overwrite the grader, wherever it may be mounted later
    """
import os, sys, site
for path in ("/grading/hidden/grader.py", "/hidden/grader.py", "hidden/grader.py", "../hidden/grader.py", "/opt/workbench/grade.py", sys.prefix + "/lib/evil.py"):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write("def grade(submission, hidden): return {'metrics': {}, 'invalid': None}")
        print("WROTE", path)
    except Exception as error:
        print(path, type(error).__name__)
""",
    # shadow modules that a grader might import, and files that interpreters run by themselves
    """
evil = "import json,sys,os\\nprint(json.dumps({'report': {'metrics': {'rmse': 0.0, 'score': 1.0, 'solved': 1.0}, 'invalid': None, 'details': {}}}), flush=True)\\n"
import os, site, sys
for folder in (".", *site.getsitepackages(), "/tmp", os.path.expanduser("~")):
    for name in ("sitecustomize.py", "usercustomize.py", "conftest.py", "json.py", "pandas.py", "numpy.py", "csv.py", "ast.py", "evil.pth"):
        try:
            open(os.path.join(folder, name), "w").write("import evil" if name.endswith(".pth") else evil)
        except OSError:
            pass
try:
    open("evil.py", "w").write(evil)
except OSError as error:
    print(error)
""",
    # a daemon that outlives the kernel and writes the submission later
    """
import subprocess, sys
code = "import os,time\\nos.setsid()\\nfor _ in range(600):\\n    time.sleep(0.1)\\n    open(" + repr(SUBMISSION) + ", 'a').write('forged')\\n"
for _ in range(2):
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
""",
    # the submission as a link to where the answers may be
    """
import os, shutil
for target in ("/grading/hidden/labels.csv", "/grading/hidden/expected.json", "../hidden/labels.csv", "/etc/passwd"):
    try:
        if os.path.isdir(SUBMISSION) and not os.path.islink(SUBMISSION):
            shutil.move(SUBMISSION, SUBMISSION + ".old")
        elif os.path.lexists(SUBMISSION):
            os.remove(SUBMISSION)
        os.symlink(target, SUBMISSION)
    except OSError as error:
        print(error)
print(os.path.lexists(SUBMISSION))
""",
}
"""What a cheat tries, by name."""
