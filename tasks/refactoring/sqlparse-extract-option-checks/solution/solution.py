# %%
import itertools
import subprocess
import sys
from pathlib import Path

path = Path("sqlparse/formatter.py")
text = path.read_text()
begin, end = text.index("def validate_options"), text.index("def build_filter_stack")
print(text[begin:end])

# %%
# Record results and messages for each option alone, and for pairs, before anything changes.
probe = """
import itertools
from sqlparse.exceptions import SQLParseError
from sqlparse.formatter import validate_options
names = '''keyword_case identifier_case output_format strip_comments use_space_around_operators strip_whitespace truncate_strings
indent_columns reindent reindent_aligned indent_after_first indent_tabs indent_width wrap_after comma_first compact right_margin'''.split()
single = [{name: value} for name in names for value in (None, True, False, 0, 1, 2, -1, 9, 10, 2.5, "x", "12", "upper", "php", [], {})]
pairs = [{a: "x", b: value} for a, b in itertools.permutations(names, 2) for value in (True, "y", -1)]
for options in single + pairs:
    try:
        print(validate_options(options) is options, list(options.items()))
    except SQLParseError as error:
        print(error)
"""
before = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
print(len(before.splitlines()), "answers")

# %%
new = '''_CASES = (None, 'upper', 'lower', 'capitalize')
_BOOLEAN = (True, False)


def _choice(options, name, choices, default=None, message=None):
    """Return an option that must be one of some choices."""
    value = options.get(name, default)
    if value not in choices:
        message = message or f'Invalid value for {name}: {{value!r}}'
        raise SQLParseError(message.format(value=value))
    return value


def _integer(options, name, default, least, no_integer, too_small):
    """Return an option that must be an integer of at least some size."""
    value = options.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise SQLParseError(no_integer.format(value=value))
    if number < least:
        raise SQLParseError(too_small.format(value=number))
    return number


def validate_options(options):
    """Validates options."""
    _choice(options, 'keyword_case', _CASES)
    _choice(options, 'identifier_case', _CASES)
    _choice(options, 'output_format', (None, 'sql', 'python', 'php'),
            message='Unknown output format: {value!r}')
    for name in ('strip_comments', 'use_space_around_operators',
                 'strip_whitespace'):
        _choice(options, name, _BOOLEAN, False)

    if options.get('truncate_strings') is not None:
        invalid = 'Invalid value for truncate_strings: {value!r}'
        options['truncate_strings'] = _integer(
            options, 'truncate_strings', None, 2, invalid, invalid)
        options['truncate_char'] = options.get('truncate_char', '[...]')

    options['indent_columns'] = _choice(
        options, 'indent_columns', _BOOLEAN, False)
    if options['indent_columns']:
        options['reindent'] = True  # enforce reindent

    reindent = _choice(options, 'reindent', _BOOLEAN, False)
    if reindent:
        options['strip_whitespace'] = True
    if _choice(options, 'reindent_aligned', _BOOLEAN, False,
               f'Invalid value for reindent_aligned: {reindent!r}'):
        options['strip_whitespace'] = True

    options['indent_after_first'] = _choice(
        options, 'indent_after_first', _BOOLEAN, False)
    indent_tabs = _choice(options, 'indent_tabs', _BOOLEAN, False)
    options['indent_char'] = '\\\\t' if indent_tabs else ' '
    options['indent_width'] = _integer(
        options, 'indent_width', 2, 1,
        'indent_width requires an integer',
        'indent_width requires a positive integer')
    options['wrap_after'] = _integer(
        options, 'wrap_after', 0, 0,
        'wrap_after requires an integer',
        'wrap_after requires a positive integer')

    for name in ('comma_first', 'compact'):
        options[name] = _choice(options, name, _BOOLEAN, False,
                                f'{name} requires a boolean value')

    options['right_margin'] = options.get('right_margin')
    if options['right_margin'] is not None:
        options['right_margin'] = _integer(
            options, 'right_margin', None, 10,
            'right_margin requires an integer',
            'right_margin requires an integer > 10')

    return options


'''
path.write_text(text[:begin] + new.replace("\\\\t", "\\t") + text[end:])

# %%
after = subprocess.run([sys.executable, "-B", "-c", probe], capture_output=True, text=True, check=True).stdout
differences = [(was, now) for was, now in itertools.zip_longest(before.splitlines(), after.splitlines()) if was != now]
print(len(differences), differences[:5])
assert not differences
