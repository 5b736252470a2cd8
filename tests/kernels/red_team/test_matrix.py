"""The page of the red team says what the suite does."""

from __future__ import annotations

from collections import Counter

from .attack import CATEGORIES
from .matrix import CONTAINED, PAGE, THROUGH, WEAK, declared, page, worse
from .table import ATTACKS, COLUMNS, beyond


def test_the_page_lists_the_attacks_of_the_suite_and_what_has_to_come_of_them() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(declared()), "make red-team writes it anew"


def test_a_program_that_got_through_is_told() -> None:
    outcomes = declared()
    outcomes[ATTACKS[0].name, "local"] = worse(THROUGH, CONTAINED)
    assert THROUGH in page(outcomes)
    assert "not tried" in page({})


def test_there_are_enough_programs_of_every_category_and_each_is_told_apart() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(names) >= 60 and len(set(names)) == len(names)
    assert all(count >= 5 for count in Counter(attack.category for attack in ATTACKS).values())
    assert {attack.category for attack in ATTACKS} == set(CATEGORIES)
    assert all(attack.goes_for.endswith(".") for attack in ATTACKS)


def test_what_is_weak_or_makes_no_sense_is_said_for_a_backend_there_is() -> None:
    for attack in ATTACKS:
        assert {*attack.weak, *attack.beyond} <= set(COLUMNS)
        assert not [backend for backend in attack.weak if beyond(attack, backend)]
        assert any(not beyond(attack, backend) for backend in COLUMNS)
    assert WEAK in declared().values()
