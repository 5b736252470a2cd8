r"""Text from models, kernels, tasks and files, made harmless to look at.

A terminal obeys what is printed to it: an escape sequence moves the cursor, renames the window, writes the clipboard or
makes a link that says one thing and opens another; a carriage return prints over what stood there; bidirectional marks
show characters in another order than they have; tags and other invisible characters hide text. Two functions deal with
that. :func:`shown` is for whatever is displayed, and makes all of it visible, as escapes. :func:`plain` is for what a
kernel prints, whose colours are wanted by nobody, and takes terminal sequences out.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_VARIATION = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINERS = "\u200c\u200d"
# control characters, separators, surrogates, bidirectional marks, and what Unicode says may be left out when displayed
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# joiners are needed within scripts that have them and within emoji, one at a time; so is what chooses a form of a character
_HIDING = re.compile(f"[{_UNSEEN}]|(?<![^\x00-\x7f{_JOINERS}{_UNSEEN}])[{_JOINERS}]|(?<=[{_VARIATION}])[{_VARIATION}]")


def shown(text: str) -> str:
    r"""Return ``text`` as it can be displayed: nothing in it acts on a terminal, is hidden, or changes the order of the rest.

    Newlines and tabs stay, and a carriage return before a newline goes. Everything else of that kind becomes its escape.
    Joiners and variation selectors stay where scripts and emoji need them. What was made visible stays as it is when it
    is shown again.

    Examples
    --------
    >>> print(shown("\x1b]0;title\x07done\rno \u202ecba"))
    \x1b]0;title\x07done\rno \u202ecba
    >>> shown("नमस्‍ते 👩‍💻\r\n") == "नमस्‍ते 👩‍💻\n"
    True
    """
    return _HIDING.sub(_escape, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    r"""Return ``text`` as one line of what is displayed: newlines and tabs become escapes too.

    Examples
    --------
    >>> print(line("name\nstatus: solved"))
    name\nstatus: solved
    """
    return re.sub(r"[\n\t]", _escape, _HIDING.sub(_escape, text))


def _escape(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def plain(text: str) -> str:
    r"""Return what a kernel printed without terminal sequences and control characters.

    Examples
    --------
    >>> plain("\x1b[31mred\x1b[0m\x07")
    'red'
    """
    return _SEQUENCE.sub("", storable(text))


def storable(text: str) -> str:
    r"""Return ``text`` with what UTF-8 cannot hold, half a surrogate pair, replaced.

    Examples
    --------
    >>> storable("a\ud800b")
    'a?b'
    """
    return text.encode("utf-8", "replace").decode("utf-8")
