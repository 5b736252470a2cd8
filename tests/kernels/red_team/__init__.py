"""The red team: hostile programs, what each goes for, and what has to become of it, behind every wall there is.

A program is an :class:`~tests.kernels.red_team.attack.Attack` in one of the tables of this folder; how it is tried and judged
is its trial (``trials.py``); whom it attacks from where is an arena (``arena.py``). ``make red-team`` writes what came of
it to ``docs/red_team.md``.
"""
