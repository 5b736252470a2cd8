"""The command line: one file a command group."""

from __future__ import annotations

from workbench import interrupts


def main() -> None:
    """Run the command ``workbench`` and exit with 0, 1, 2 or 130, as docs/cli.md says."""
    # first of all: the following imports take a second, during which Ctrl-C may be pressed
    interrupts.heed()

    import sys

    from workbench.cli import streams

    streams.make_lasting()

    from workbench.cli.app import app
    from workbench.cli.errors import guard, report
    from workbench.errors import WorkbenchError

    guard()
    try:
        app(prog_name="workbench")
    except WorkbenchError as error:
        sys.exit(report(error, as_json="--json" in sys.argv))
