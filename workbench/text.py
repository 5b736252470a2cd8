r"""Text from models, kernels, tasks and files, made safe to display.

A terminal obeys what is printed to it: an escape sequence moves the cursor, renames the window, writes to the clipboard
or makes a link with a misleading text; a carriage return overwrites the line; bidirectional marks change the order in
which characters are displayed; tags and other invisible characters hide text. Two functions handle that. :func:`shown`
is for everything that is displayed, and makes all of these visible, as escapes. :func:`plain` is for a kernel's output,
whose colours are not needed, and removes terminal sequences.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_VARIATION = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINERS = "\u200c\u200d"
# control characters, separators, surrogates, bidirectional marks, and what Unicode calls default ignorable
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# joiners are needed in some scripts and in emoji, one at a time; so are variation selectors
_HIDING = re.compile(f"[{_UNSEEN}]|(?<![^\x00-\x7f{_JOINERS}{_UNSEEN}])[{_JOINERS}]|(?<=[{_VARIATION}])[{_VARIATION}]")


def shown(text: str) -> str:
    r"""Return ``text`` in a safe form for display: nothing in it controls a terminal, is hidden, or reorders the rest.

    Newlines and tabs are kept, and a carriage return before a newline is removed. All other such characters become
    escapes. Joiners and variation selectors are kept where scripts and emoji need them. Applying this to its own result
    changes nothing.

    Examples
    --------
    >>> print(shown("\x1b]0;title\x07done\rno \u202ecba"))
    \x1b]0;title\x07done\rno \u202ecba
    >>> shown("नमस्‍ते 👩‍💻\r\n") == "नमस्‍ते 👩‍💻\n"
    True
    """
    return _HIDING.sub(_escape, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    r"""Return ``text`` as :func:`shown`, but in one line: newlines and tabs become escapes too.

    Examples
    --------
    >>> print(line("name\nstatus: solved"))
    name\nstatus: solved
    """
    return re.sub(r"[\n\t]", _escape, _HIDING.sub(_escape, text))


def _escape(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def shorten(text: str, most: int) -> str:
    """Return the beginning of ``text``, at most ``most`` characters of it; it ends between two words, and shows that it was cut.

    Examples
    --------
    >>> shorten("the sandbox is gone", 15)
    'the sandbox …'
    """
    if len(text) <= most:
        return text
    start = text[: most - 2]
    return f"{start.rpartition(' ')[0] or start} …"


def plain(text: str) -> str:
    r"""Return a kernel's output without terminal sequences and control characters.

    Examples
    --------
    >>> plain("\x1b[31mred\x1b[0m\x07")
    'red'
    """
    return _SEQUENCE.sub("", storable(text))


def storable(text: str) -> str:
    r"""Return ``text`` with unpaired surrogates, which UTF-8 cannot encode, replaced.

    Examples
    --------
    >>> storable("a\ud800b")
    'a?b'
    """
    return text.encode("utf-8", "replace").decode("utf-8")
