"""A group of commands: its help, and its end when it is interrupted."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from workbench import interrupts
from workbench.errors import Interrupted


class Group(typer.core.TyperGroup):
    """Commands, each shown in the help with the whole first line of what it says about itself."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, in the order in which they are defined."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, (each.help or "").partition("\n")[0]) for name, each in commands.items() if each is not None])


class Commands(Group):
    """The command ``workbench`` itself."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; if it is interrupted and has no result to show, say so."""
        try:
            return super().invoke(ctx)
        except Interrupted:
            interrupts.tell()
            raise typer.Exit(interrupts.EXIT) from None
