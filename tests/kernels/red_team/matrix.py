"""The page with what came of every attack on every backend."""

from __future__ import annotations

from pathlib import Path

from .attack import CATEGORIES
from .table import ATTACKS, COLUMNS, beyond

PAGE = Path(__file__).parents[3] / "docs" / "red_team.md"

CONTAINED, WEAK, THROUGH, NOT_TRIED = "✓", "weak", "GOT THROUGH", "not tried"
WORST_LAST = (NOT_TRIED, CONTAINED, WEAK, THROUGH)

Outcomes = dict[tuple[str, str], str]
"""What came of an attack, by its name and the backend."""

INTRODUCTION = """\
# The red team

Hostile programs that want out of a kernel, and what comes of them. Every program runs on every backend where it makes
sense. `make red-team` tries them all, as root and as an ordinary user, and writes this page; a test fails when the page
does not say what the suite tries.

Each program goes for something that it must not have, and has to end in one way:

- **refused**: every try fails, and the program hears an error;
- **held to a limit**: it gets what it may have and no more;
- **killed and told**: its kernel is ended, and the observation says why;
- **harmless**: it does what it wants, and nothing outside its kernel is any different.

After every program the host is looked at (files, sockets, processes, keys, shared memory) and so are the victims: other
kernels with a secret in their memory and their files, which must be what they were and must not have been heard of. The
attacker has to go on working, or be said to be dead and go on after that.

Programs of the last category want a score instead. Some are run as a submission is run while it is graded, beside another
submission with a secret: what they take must be counted, what they hide from must end them, and nothing of them may be left.
The others call a task's functions from an agent's kernel: every call must be recorded with its own answer.
"""

MARKS = f"""\
{CONTAINED} it was contained. **{WEAK}** it gets through; the number says what is to be said about that, and a test fails on the day
it does not any more. n/a: it makes no sense there; the letter says why.
"""

TRUNK = """\
## What a kernel may do to its branches

A branch goes on from what its kernel made of itself, so that kernel could have left anything in it. It is no attack
when a kernel sees its branches' processes, or reaches their roots below `/branches`. The other way round it is one, and
so it is from branch to branch.
"""


def declared() -> Outcomes:
    """Return what has to come of everything that can be tried."""
    return {
        (attack.name, backend): WEAK if backend in attack.weak else CONTAINED
        for attack in ATTACKS
        for backend in COLUMNS
        if not beyond(attack, backend)
    }


def worse(one: str, other: str) -> str:
    """Return which of two outcomes of the same attack is to be told."""
    return max(one, other, key=WORST_LAST.index)


def page(outcomes: Outcomes) -> str:
    """Return the whole page."""
    weak: dict[str, int] = {}
    reasons: dict[str, str] = {}
    parts = [
        INTRODUCTION,
        "## Backends\n",
        _table(["backend", "attacker and victims"], [[f"`{name}`", text] for name, text in COLUMNS.items()]),
        MARKS,
    ]
    for category in CATEGORIES:
        rows = []
        for attack in (attack for attack in ATTACKS if attack.category == category):
            cells = []
            for backend in COLUMNS:
                if why := beyond(attack, backend):
                    cells.append(f"n/a ({reasons.setdefault(why, chr(ord('a') + len(reasons)))})")
                elif (outcome := outcomes.get((attack.name, backend), NOT_TRIED)) == WEAK:
                    cells.append(f"**{WEAK}** ({weak.setdefault(attack.weak[backend], len(weak) + 1)})")
                else:
                    cells.append(outcome)
            rows.append([attack.name, attack.goes_for, attack.expected, *cells])
        parts += [f"## {category[0].upper()}{category[1:]}\n", _table(["program", "goes for", "has to be", *COLUMNS], rows)]
    parts += ["## What is weak\n", "\n".join(f"{number}. {_sentence(text)}" for text, number in weak.items()) + "\n"]
    parts += [
        TRUNK,
        "## What makes no sense where\n",
        "\n".join(f"- ({letter}) {_sentence(text)}" for text, letter in reasons.items()) + "\n",
    ]
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
