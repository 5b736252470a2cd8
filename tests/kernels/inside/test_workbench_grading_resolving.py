"""Which modules lack names that they had, found out without running any."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

PROJECT = {
    "setup.py": "import shop\n",
    "src/shop/__init__.py": "from .prices import total, tax\nfrom .prices import *\nimport json\nVERSION = 1\n",
    "src/shop/prices.py": (
        "import os\nfrom shop.rates import RATE\n__all__ = ['total']\n\n"
        "def total(prices):\n    return sum(prices)\n\ndef tax(price):\n    return price * RATE\n"
    ),
    "src/shop/rates.py": "try:\n    from shop._fast import RATE\nexcept ImportError:\n    RATE = 2\n",
    "src/shop/lazy.py": "def __getattr__(name):\n    return name\n",
    "src/shop/web/__init__.py": "",
    "src/shop/web/pages.py": "from .. import prices\nfrom ..prices import tax as vat\nimport shop.rates\n\n"
    "def page(p):\n    return prices.total(p), vat(p), shop.rates.RATE, p.nothing\n",
    "tests/helper.py": "from shop import total, VERSION\nfrom shop.lazy import whatever\nLIMIT = VERSION\n",
    "tests/test_shop.py": (
        "import helper\nfrom shop.web import pages\nfrom shop import gone_long_ago\nprint(helper.LIMIT, pages.page([1]))\n"
    ),
    "tests/data/broken.py": "def f(:\n",
    "README.md": "total\n",
}

Gone = Callable[[dict[str, str | None]], tuple[dict[str, list[str]], float]]
Broken = Callable[[dict[str, str | None]], dict[str, list[str]]]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def resolving(inside: Callable[[str], ModuleType]) -> ModuleType:
    return inside("workbench_grading.resolving")


@pytest.fixture
def broken(resolving: ModuleType, tmp_path: Path) -> Broken:
    """Say what lacks names after files are changed, or removed where there is nothing for them."""
    untouched, changed = tmp_path / "untouched", tmp_path / "changed"
    write(untouched, PROJECT)

    def after(changes: dict[str, str | None]) -> dict[str, list[str]]:
        shutil.copytree(untouched, changed)
        for name, text in changes.items():
            if text is None:
                (changed / name).unlink()
        write(changed, {name: text for name, text in changes.items() if text is not None})
        found, modules = resolving.broken(untouched, changed)
        assert modules == len(list(changed.rglob("*.py")))
        assert isinstance(found, dict)
        return found

    return after


def edited(name: str, *pairs: tuple[str, str]) -> dict[str, str | None]:
    text = PROJECT[name]
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return {name: text}


def test_what_never_resolved_is_held_against_nobody(broken: Broken) -> None:
    assert broken({}) == {}


def test_a_rename_that_forgets_its_users_is_found_with_each_of_them(broken: Broken) -> None:
    assert broken(edited("src/shop/prices.py", ("total", "total_of"))) == {
        "src/shop/__init__.py": [".prices.total"],
        "src/shop/web/pages.py": ["..prices.total"],
    }


def test_a_rename_that_forgets_nobody_is_whole(broken: Broken) -> None:
    assert broken({name: text.replace("total", "total_of") for name, text in PROJECT.items()}) == {}


def test_a_name_is_there_however_a_module_comes_by_it(broken: Broken) -> None:
    # a definition elsewhere that is imported, an import of everything, an assignment in a branch, and one by a function
    prices = "from shop.rates import total\nfrom shop.rates import *\n\ndef late():\n    global extra\n    extra = 1\n"
    rates = PROJECT["src/shop/rates.py"] + "\nif RATE:\n    def total(p): pass\nfor tax in range(3): pass\n"
    users = "from shop.prices import total, tax, extra, RATE, __doc__\n"
    assert broken({"src/shop/prices.py": prices, "src/shop/rates.py": rates, "src/shop/user.py": users}) == {}


def test_a_module_that_is_moved_takes_its_users_along_or_not(broken: Broken) -> None:
    moved = {"src/shop/prices.py": None, "src/shop/money.py": PROJECT["src/shop/prices.py"]}
    init = edited("src/shop/__init__.py", (".prices", ".money"))
    assert broken({**moved, **init}) == {"src/shop/web/pages.py": ["..prices", "..prices.tax", "..prices.total"]}


def test_what_was_missing_may_be_missing_from_where_it_is_moved_to(broken: Broken) -> None:
    moved = {"src/shop/rates.py": None, "src/shop/rate.py": PROJECT["src/shop/rates.py"]}
    users = {name: PROJECT[name].replace("shop.rates", "shop.rate") for name in ("src/shop/prices.py", "src/shop/web/pages.py")}
    assert broken({**moved, **users}) == {}


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        ("import shop.nowhere\n", ["shop.nowhere"]),
        ("from shop.prices import nothing\n", ["shop.prices.nothing"]),
        ("from . import nothing, prices\n", [".nothing"]),
        ("from .....x import y\n", [".....x.y"]),
        ("import shop.prices as p\np.total([])\np.nothing\n", ["shop.prices.nothing"]),
        ("from shop.prices import nothing.x", ["it cannot be parsed"]),
        ("x = " + "(" * 10_000, ["it cannot be parsed"]),
        ("\0", ["it cannot be parsed"]),
        ("import numpy.nothing, json.nothing\nfrom os import nothing\n", []),
        ("from shop.lazy import anything\nimport shop\nshop.VERSION.real\n", []),
        ("import shop\n\ndef f(shop):\n    return shop.nothing\n", []),
        ("def f():\n    from shop.prices import nothing\n", ["shop.prices.nothing"]),
        ("import helper\n", []),
    ],
)
def test_a_new_module_must_find_what_it_asks_for(broken: Broken, source: str, lacking: list[str]) -> None:
    assert broken({"src/shop/new.py": source}) == ({"src/shop/new.py": lacking} if lacking else {})


def test_a_module_beside_is_found_and_missed(broken: Broken) -> None:
    assert broken({"tests/helper.py": None}) == {"tests/test_shop.py": ["helper", "helper.LIMIT"]}


def test_a_package_that_is_gone_is_missed(broken: Broken) -> None:
    gone: dict[str, str | None] = {name: None for name in PROJECT if name.startswith("src/")}
    assert broken(gone) == {
        "setup.py": ["shop"],
        "tests/helper.py": ["shop.VERSION", "shop.lazy.whatever", "shop.total"],
        "tests/test_shop.py": ["shop.web.pages", "shop.web.pages.page"],
    }


def test_a_module_that_breaks_is_one_and_its_users_are_not(broken: Broken) -> None:
    assert broken({"src/shop/prices.py": "def total(:"}) == {"src/shop/prices.py": ["it cannot be parsed"]}


def test_links_lead_nowhere(resolving: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "project", {"a.py": "import b\n"})
    (tmp_path / "project" / "b.py").symlink_to("/etc/passwd")
    (tmp_path / "project" / "c").symlink_to(tmp_path)
    assert list(resolving.Tree(tmp_path / "project").files) == ["a.py"]


def test_modules_that_import_each_other_come_to_an_end(broken: Broken) -> None:
    circle = {"a": "from .b import *\nx = 1\n", "b": "from .a import *\ny = 1\n", "c": "from .a import x, y, z\n"}
    assert broken({f"src/shop/{name}.py": text for name, text in circle.items()}) == {"src/shop/c.py": [".a.z"]}


def test_what_is_too_much_is_not_read(resolving: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "_MOST_SECONDS", 0)
    write(tmp_path / "untouched", {"a.py": "x = 1\n"})
    write(tmp_path / "changed", {"a.py": "x = 2\n", "b.py": "import a\n" * 20})
    with pytest.raises(resolving.TooMuch):
        resolving.broken(tmp_path / "untouched", tmp_path / "changed")


@pytest.fixture
def gone(resolving: ModuleType, tmp_path: Path) -> Gone:
    """Say what is gone after files are changed, or removed where there is nothing for them, and how many modules that makes."""
    untouched, changed = tmp_path / "untouched", tmp_path / "changed"
    write(untouched, PROJECT)

    def after(changes: dict[str, str | None]) -> tuple[dict[str, list[str]], float]:
        shutil.copytree(untouched, changed)
        for name, text in changes.items():
            if text is None:
                (changed / name).unlink()
        write(changed, {name: text for name, text in changes.items() if text is not None})
        found, modules, of = resolving.gone(untouched, changed)
        assert of == sum(name.endswith(".py") for name in PROJECT)
        return found, modules

    return after


def test_a_module_that_is_deleted_is_lost_though_nobody_asks_for_it(gone: Gone) -> None:
    assert gone({"tests/test_shop.py": None}) == ({"tests/test_shop.py": ["test_shop.py"]}, 1)


def test_modules_that_are_deleted_with_all_that_ask_for_them_are_lost(gone: Gone) -> None:
    found, modules = gone({name: None for name in PROJECT if name.endswith(".py") and name != "setup.py"})
    assert found["src/shop/prices.py"] == ["__all__", "prices.py", "tax", "total"]
    assert modules == len(found) == sum(name.endswith(".py") for name in PROJECT) - 1


def test_a_module_that_is_emptied_keeps_its_name_and_no_more(gone: Gone) -> None:
    assert gone({"src/shop/prices.py": "", "src/shop/__init__.py": ""}) == (
        {"src/shop/__init__.py": ["VERSION"], "src/shop/prices.py": ["__all__", "tax", "total"]},
        pytest.approx(1 / 2 + 3 / 4),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"src/shop/prices.py": PROJECT["src/shop/prices.py"].replace("total", "total_of")},
        {"src/shop/prices.py": None, "src/shop/money.py": PROJECT["src/shop/prices.py"]},
        {"src/shop/prices.py": None, "src/shop/money.py": PROJECT["src/shop/prices.py"].replace("total", "sum_of")},
        {
            "src/shop/prices.py": None,
            "src/shop/prices/__init__.py": "from .a import *\n",
            "src/shop/prices/a.py": PROJECT["src/shop/prices.py"],
        },
        {
            "src/shop/prices.py": None,
            "src/shop/web/pages.py": PROJECT["src/shop/web/pages.py"] + PROJECT["src/shop/prices.py"],
            "src/shop/m.py": "",
        },
        {"src/shop/prices.py": "def total(:"},
        {"src/shop/new.py": "x = 1\n"},
        {"README.md": None},
    ],
    ids=["nothing", "renamed", "moved", "moved and renamed", "split", "merged", "broken", "new", "no module"],
)
def test_what_has_another_name_or_place_is_not_gone(gone: Gone, changes: dict[str, str | None]) -> None:
    assert gone(changes) == ({}, 0)


def test_one_new_module_stands_for_one_that_is_gone(gone: Gone) -> None:
    names = "".join(f"x{number} = 1\n" for number in range(100))
    found, modules = gone({"src/shop/prices.py": None, "src/shop/lazy.py": None, "src/shop/new.py": names})
    assert (found, modules) == ({"src/shop/lazy.py": ["__getattr__", "lazy.py"]}, 1)


@given(st.binary() | st.text().map(str.encode) | st.sampled_from([text.encode() for text in PROJECT.values()]))
def test_no_file_is_a_crash(inside: Callable[[str], ModuleType], data: bytes) -> None:
    inside("workbench_grading.asking").parsed(data)
