"""What a model is shown of an observation: text within a budget, and figures where it can see them."""

from __future__ import annotations

import re
from itertools import groupby, pairwise

from workbench.kernels.collect import cut_middle
from workbench.messages import Image
from workbench.observation import Observation, Output, PythonError

TEXT_SIZE = 12_000
"""Characters of one observation that a model is shown."""

_FRAME = re.compile(r"^(?:File \S|(?:Cell )?In ?\[\d+\])", re.MULTILINE)
_INSTALLED = re.compile(r"File \S*/(?:site-packages|lib/python3\.\d+|opt/workbench|workbench/kernels/inside)/")
_MOST_IMAGES = 4


def as_text(observation: Observation, *, sees_images: bool, size: int = TEXT_SIZE) -> str:
    r"""Return ``observation`` as a model reads it.

    Examples
    --------
    >>> shown = Observation(status="ok", outputs=[Output(kind="stdout", data={"text/plain": "42\n"})])
    >>> print(as_text(shown, sees_images=False))
    42
    >>> print(as_text(Observation(status="ok"), sees_images=False))
    (no output)
    """
    error = cut_middle(trim_traceback(observation.error), size // 3) if observation.error else ""
    shown = "\n".join(text.rstrip() for output in observation.outputs if (text := _output(output, sees_images)))
    # cut once, so that the count of what was cut is true; the error comes last and stays whole
    text = "\n".join(part for part in (cut_middle(shown, size - len(error)), error) if part)
    if observation.namespace:
        changes = [f"{change.name} ({change.summary or change.change})" for change in observation.namespace if change.change != "deleted"]
        deleted = [change.name for change in observation.namespace if change.change == "deleted"]
        listed = ", ".join(changes) + (f"; deleted: {', '.join(deleted)}" if deleted else "")
        text += f"\n[variables: {cut_middle(listed, 800)}]"
    if observation.dropped_bytes:
        text += f"\n[{observation.dropped_bytes} bytes of output beyond the limit were dropped: print less]"
    if observation.note:
        text += f"\n[{observation.note}]"
    return text.strip() or "(no output)"


def _output(output: Output, sees_images: bool) -> str:
    picture = next((mime for mime in ("image/png", "image/jpeg", "image/svg+xml") if mime in output.data), None)
    if picture is not None:
        seen = "shown below" if sees_images and picture != "image/svg+xml" else "not visible to you: print the numbers you need"
        return f"[figure: {output.text or picture}, {seen}]"
    text = output.text or next((str(output.data[mime]) for mime in ("text/markdown", "text/latex", "text/html") if mime in output.data), "")
    return f"[stderr] {text}" if output.kind == "stderr" else text


def images(observation: Observation) -> list[Image]:
    """Return the pictures of ``observation``, the last few."""
    found = [
        Image(media_type=mime, data=str(output.data[mime]))
        for output in observation.outputs
        for mime in ("image/png", "image/jpeg")
        if mime in output.data
    ]
    return found[-_MOST_IMAGES:]


def trim_traceback(error: PythonError) -> str:
    r"""Return the traceback without the frames inside installed packages, which tell a model little and cost much.

    Examples
    --------
    >>> frames = ["Traceback (most recent call last)", "Cell In[1], line 1", "----> 1 f()"]
    >>> frames += ["File /x/site-packages/a.py:3, in f()", "      3 g()", "E: no"]
    >>> print(trim_traceback(PythonError(name="E", value="no", traceback="\n".join(frames))))
    Traceback (most recent call last)
    Cell In[1], line 1
    ----> 1 f()
    [1 frame inside installed packages]
    E: no
    """
    # the exception's own text ends the traceback, and may itself look like frames
    end = error.traceback.rfind(f"{error.name}: ")
    head = error.traceback[:end] if end > 0 else error.traceback
    head = re.sub(r"^-{20,}$\n?", "", head, flags=re.MULTILINE)
    starts = [0, *(match.start() for match in _FRAME.finditer(head)), len(head)]
    frames = [frame.strip("\n") for begin, stop in pairwise(starts) if (frame := head[begin:stop].rstrip())]
    pieces: list[str] = []
    for installed, group in groupby(frames, key=lambda frame: _INSTALLED.match(frame) is not None):
        run = list(group)
        pieces += [f"[{len(run)} frame{'s' if len(run) > 1 else ''} inside installed packages]"] if installed else run
    return "\n".join([*pieces, f"{error.name}: {error.value}".rstrip(": ")])
