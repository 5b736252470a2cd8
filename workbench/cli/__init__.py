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
    from workbench.cli.errors import ended, guard, report

    guard()
    as_json = "--json" in sys.argv
    try:
        app(prog_name="workbench")
    except SystemExit as left:
        code = int(left.code or 0)
    except Exception as error:
        code = report(error, as_json=as_json)
    else:
        code = 0
    sys.exit(ended(code, as_json=as_json))
