"""What a terminal would display of a stream, in which the cursor moves."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.kernels.screen import Screen, live

moving = st.lists(
    st.sampled_from(["ab", "c", " ", "\r", "\n", "\b", "\b\b", "\x1b[A", "\x1b[2A", "\x1b[K", "\x1b[2K", "\x1b[31m", "é"]), max_size=40
)


def shown(*pieces: str) -> str:
    screen = Screen()
    return "".join(map(screen.add, pieces)) + screen.finish()


@pytest.mark.parametrize(
    ("written", "displayed"),
    [
        ("plain\nlines\n", "plain\nlines\n"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("\r 10%\r 20%\r100%\n", "100%\n"),
        ("longer\rshort", "shortr"),
        ("abc\b\bX", "aXc"),
        ("abc\b \b", "ab "),
        ("a\b\b\bb", "b"),
        ("one\ntwo\n\x1b[2Aeins\n\nthree", "eins\ntwo\nthree"),
        ("outer 0\ninner 0\x1b[A\router 1\n\rinner 1\x1b[A\n\n", "outer 1\ninner 1\n"),
        ("wait...\r\x1b[Kdone", "done"),
        ("wait...\x1b[2K\rdone", "done"),
        ("abc\x1b[1K", "   "),
        ("\x1b[1m\x1b[32mbold\x1b[0m\x1b[?25l", "bold"),
        # what Keras writes to a notebook
        ("1/2 loss: 9.5" + "\b" * 13 + "\r" + "2/2 loss: 0.25\n", "2/2 loss: 0.25\n"),
        # what tqdm writes, who pads with blanks
        ("\r  0%|    | 0/2\r100%|####| 2/2\n", "100%|####| 2/2\n"),
    ],
)
def test_the_last_state_of_a_line_is_displayed(written: str, displayed: str) -> None:
    assert shown(written) == displayed
    # however it is cut into pieces, even within a sequence
    assert shown(*written) == displayed


@given(moving, st.integers(1, 5))
def test_pieces_make_no_difference(tokens: list[str], size: int) -> None:
    text = "".join(tokens)
    assert shown(text) == shown(*(text[place : place + size] for place in range(0, len(text), size)))


@given(st.text("ab\n", max_size=200))
def test_text_in_which_nothing_moves_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_lines_settle_and_may_be_long() -> None:
    screen = Screen()
    settled = screen.add("".join(f"line {number}\n" for number in range(1000)))
    assert settled.startswith("line 0\n") and settled.endswith("line 980\n")
    assert shown("x" * 3_000_000 + "\n" + "y") == "x" * 3_000_000 + "\ny"


@pytest.mark.parametrize("token", ["\r", "a\r", "\b", "a\b", "\x1b[A", "\x1b[K", "\n\r", "\x1b", "\x1b[", "abc\rde\b\n"])
def test_a_flood_of_movements_is_taken_in(token: str) -> None:
    # far less than a minute: what is tested is that it does not take minutes
    started = time.process_time()
    shown(*[token * (2**21 // len(token))] * 2)
    assert time.process_time() - started < 60


def test_more_states_than_can_be_looked_at_one_by_one_are_displayed_as_the_last() -> None:
    assert shown("".join(f"\r{number}" for number in range(100_000))) == "99999"


@pytest.mark.parametrize(
    ("piece", "told"),
    [(" 10%", " 10%"), ("\r 10%\r 20%", "\r 20%"), ("a\nb\rc", "a\nc"), ("\b\bxy", "\rxy"), ("end\r\n", "end\n"), ("\x1b[31mred", "red")],
)
def test_who_reads_along_is_told_that_a_line_is_overwritten(piece: str, told: str) -> None:
    assert live(piece, Screen()) == told
