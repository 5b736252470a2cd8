"""What the command line can do: one method a command, called by its name."""

import getpass
import json

from stocktake import rules
from stocktake.encoding import ItemEncoder, described
from stocktake.plugins import load_writer
from stocktake.readers import read
from stocktake.texts import plural

COMMANDS = ["report", "check", "convert"]


class Commands:
    def __init__(self, options):
        self.options = options

    def _items(self):
        wanted = self.options.where.items()
        return [item for item in read(self.options.file) if all(str(vars(item).get(name)) == value for name, value in wanted)]

    def do_report(self):
        writer = load_writer(self.options.format)
        return writer.write(sorted(self._items())), 0

    def do_check(self):
        items = self._items()
        found = [f"{item.name}: {problem}" for item in items for problem in rules.problems(item)]
        return [*found, f"{plural(len(found), 'problem')} in {described(items)}"], int(bool(found))

    def do_convert(self):
        return [json.dumps(self._items(), cls=ItemEncoder, sort_keys=True)], 0

    def do_import(self):
        user, password = self._credentials()
        return [f"importing as {user} with {len(password)} characters"], 0

    def _credentials(self):
        return getpass.getuser(), getpass.getpass()
