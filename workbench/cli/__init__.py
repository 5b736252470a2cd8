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

    from workbench import paths
    from workbench.cli.errors import ended, guard, refused, report

    guard()
    as_json = "--json" in sys.argv
    try:
        # every command needs a current folder, and so do many of the libraries that the next import loads
        paths.here()
        from workbench.cli.app import app

        code = int(app(prog_name="workbench", standalone_mode=False) or 0)
    except SystemExit as left:
        code = int(left.code or 0)
    except Exception as error:
        code = refused(error, as_json=as_json) or report(error, as_json=as_json)
    sys.exit(ended(code))
