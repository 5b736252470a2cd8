"""Text that somebody else wrote: what is shown of it can neither act, nor hide, nor lie."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.kernels.test_collect import any_text, terminal
from workbench.text import line, plain, shown

ACTS = {
    "a CSI sequence": "\x1b[2J\x1b[31m",
    "a window's title": "\x1b]0;title\x07",
    "a link": "\x1b]8;;https://evil.example\x1b\\your bank\x1b]8;;\x1b\\",
    "the clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "a C1 sequence": "\x9b2J\x9d0;title\x9c",
    "what prints over": "failed\rsolved",
    "backspaces": "failed\b\b\b\b\b\bsolved",
    "bidirectional marks": "\u202e\u2066\u200f\u061c",
    "tags": "".join(chr(0xE0000 + ord(each)) for each in "ignore"),
    "text in variation selectors": "x" + "".join(chr(0xE0100 + each) for each in b"hidden"),
    "invisible characters": "pay\u200bpal pay\u200dpal \u2060 \ufeff \u00ad \u3164",
    "half a surrogate pair": "\ud83d name\udcff.txt",
    "other separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "bells and nulls": "\x00\x07\x7f",
}


@pytest.mark.parametrize("text", ACTS.values(), ids=ACTS)
def test_is_shown_whole_and_does_nothing(text: str) -> None:
    found = shown(text)
    assert all(each.isprintable() or each == "\n" for each in found if each not in "\u200d")
    # nothing is lost: what was made visible can be read back
    read = re.sub(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[rnt])", lambda match: eval(f"'{match[0]}'"), found)
    assert read == text


@given(any_text | terminal | st.sampled_from([*ACTS.values()]))
def test_is_the_same_when_shown_again(text: str) -> None:
    for way in (shown, line):
        once = way(text)
        assert way(once) == once
        once.encode()
        for each in once:
            hides = unicodedata.bidirectional(each) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
            assert not hides and (unicodedata.category(each) not in ("Cc", "Cs") or each in "\n\t")
    assert "\n" not in line(text) and "\t" not in line(text)


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab",
        "\u0928\u092e\u0938\u094d\u200d\u0924\u0947",  # Hindi
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian
        "\U0001f469\u200d\U0001f4bb \U0001f3f3\ufe0f\u200d\U0001f308 1\ufe0f\u20e3",
        "e\u0301 \u65e5\u672c\u8a9e \u05e2\u05d1\u05e8\u05d9\u05ea",
    ],
)
def test_that_a_script_needs_stays(text: str) -> None:
    assert shown(text) == text


def test_of_windows_has_ordinary_newlines() -> None:
    assert shown("a\r\nb") == "a\nb"


@given(terminal | any_text)
@example("\x1b")
@example("\x1b\x1b[31m[31mred")
@example("\x1b]0;no end")
@example("\x9b31mred")
def test_plain_leaves_nothing_that_a_terminal_acts_on(text: str) -> None:
    left = plain(text)
    assert "\x1b" not in left
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", left)
    assert plain(left) == left


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\t\n\r"), max_size=50))
def test_plain_keeps_plain_text(text: str) -> None:
    assert plain(text) == text
