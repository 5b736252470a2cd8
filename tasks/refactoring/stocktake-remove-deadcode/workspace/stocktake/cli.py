"""The command line: ``python -m stocktake report|check|convert FILE``."""

import argparse
import os
import sys

from stocktake.commands import COMMANDS, Commands
from stocktake.readers import UnknownFormat


class Pairs(argparse.Action):
    """Collects NAME=VALUE into a dictionary."""

    def __call__(self, parser, namespace, values, option_string=None):
        pairs = dict(getattr(namespace, self.dest) or {})
        name, separator, value = values.partition("=")
        if not separator:
            parser.error(f"{option_string} takes NAME=VALUE, not {values!r}")
        pairs[name] = value
        setattr(namespace, self.dest, pairs)


class Verbosity(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, len(option_string) - 1)


def make_parser():
    parser = argparse.ArgumentParser(prog="stocktake")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("file")
    parser.add_argument("--format", default="text")
    parser.add_argument("--where", action=Pairs, default={}, metavar="NAME=VALUE")
    return parser


def colour_wanted():
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def main(arguments=None):
    options = make_parser().parse_args(arguments)
    commands = Commands(options)
    try:
        action = getattr(commands, "do_" + options.command)
        lines, status = action()
    except UnknownFormat as error:
        print(f"stocktake: {error}", file=sys.stderr)
        return 2
    for line in lines:
        print(line)
    return status
    if colour_wanted():
        print("\033[0m", end="")
