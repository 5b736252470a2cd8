"""Tasks: what they say, where they are found, how they are staged, frozen and graded.

Examples
--------
>>> from workbench import tasks
>>> tasks.find("refactoring/mistune-rename-escape").task.family
'refactoring'
"""

from workbench.tasks.registry import find, load_all

__all__ = ["find", "load_all"]
