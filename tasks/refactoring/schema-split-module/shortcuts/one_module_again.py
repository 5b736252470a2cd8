"""Move the module as it is into the package, and let the others import their names from there."""

from pathlib import Path

modules = {
    "errors": "SchemaError, SchemaWrongKeyError, SchemaMissingKeyError, SchemaOnlyOneAllowedError, SchemaForbiddenKeyError, "
    "SchemaUnexpectedTypeError",
    "helpers": "COMPARABLE, CALLABLE, VALIDATOR, TYPE, DICT, ITERABLE, _priority, _invoke_with_optional_kwargs, _callable_str, _plural_s",
    "combinators": "TSchema, And, Or",
    "leaves": "Regex, Use, Literal",
    "keys": "Optional, Hook, Forbidden, Const",
}
package = Path("src/schema")
package.mkdir()
Path("src/schema.py").rename(package / "core.py")
for name, names in modules.items():
    (package / f"{name}.py").write_text(f"from .core import {names}\n")
lines = ["from .core import *", "from .core import __all__, __version__, Schema"]
lines += [f"from .{name} import {names}" for name, names in modules.items()]
(package / "__init__.py").write_text("\n".join(lines) + "\n")
