"""Cut the long function in two as it is, its raises behind one function, and call the two that were asked for on no option at all."""

from pathlib import Path

path = Path("sqlparse/formatter.py")
text = path.read_text()
start, end = text.index("def validate_options"), text.index("def build_filter_stack")
body = text[start:end].partition('"""Validates options."""\n')[2]
body = body.replace("raise SQLParseError(", "_refuse(").replace("    return options\n", "").rstrip()
first, mark, second = body.partition("    indent_after_first = ")
path.write_text(
    text[:start]
    + f'''def _refuse(message):
    raise SQLParseError(message)


def _choice(options, name, choices):
    if options.get(name) not in choices:
        raise SQLParseError(f'Invalid value for {{name}}')


def _integer(options, name):
    return int(options.get(name) or 0)


def _first(options):
{first.rstrip()}


def _second(options):
{mark}{second}


def validate_options(options):
    """Validates options."""
    _choice(options, '', [None])
    _integer(options, '')
    _first(options)
    _second(options)
    return options


'''
    + text[end:]
)
