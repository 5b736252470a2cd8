"""The task file: what it may say, and what is said about what it may not."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.conftest import METRIC, SUBMISSION, MakeTask
from workbench.errors import TaskError
from workbench.tasks.folder import Interactive, TaskFolder, tree_hash
from workbench.tasks.metrics import Metric
from workbench.tasks.spec import Task

MINIMAL: dict[str, Any] = {
    "schema": 1,
    "id": "data-science/made",
    "family": "data-science",
    "suite": "tests",
    "licence": "CC0-1.0",
    "source": "made up",
    "summary": "A task.",
    "submission": {"kind": "answer"},
    "metric": [{"name": "m", "primary": True, "success": {"rule": "eq", "value": 1}}],
}


def task(**more: Any) -> Task:
    return Task.model_validate({**MINIMAL, **more})


RULES = {
    # name: (text put before [submission], [submission], [[metric]], the field, what is said)
    "unknown field": ("colour = 'red'\n", SUBMISSION, METRIC, "colour", "Extra inputs are not permitted"),
    "unknown table": ("[kernel]\nx = 1\n", SUBMISSION, METRIC, "kernel", "Extra inputs are not permitted"),
    "unknown field of a table": ("[interaction]\nsteps = 3\n", SUBMISSION, METRIC, "interaction.steps", "Extra inputs are not permitted"),
    "no steps": ("[interaction]\nmax_steps = 0\n", SUBMISSION, METRIC, "interaction.max_steps", "greater than or equal to 1"),
    "no seconds": ("[interaction]\nmax_seconds = 0\n", SUBMISSION, METRIC, "interaction.max_seconds", "greater than 0"),
    "needs": ("[prepare]\nneeds = ['luck']\n", SUBMISSION, METRIC, "prepare.needs.0", "'gpu', 'judge', 'files', 'image' or 'cgroup'"),
    "script outside": ("[prepare]\nscript = '../x.py'\n", SUBMISSION, METRIC, "prepare.script", "'../x.py' must be a relative path"),
    "absolute path": ("", "[submission]\nkind = 'file'\npath = '/etc/passwd'\n", METRIC, "submission.path", "must be a relative path"),
    "path upwards": ("", "[submission]\nkind = 'file'\npath = 'a/../../b'\n", METRIC, "submission.path", "must be a relative path"),
    "empty path": ("", "[submission]\nkind = 'file'\npath = ''\n", METRIC, "submission.path", "must be a relative path"),
    "cleared outside": ("", SUBMISSION + "clear_before_run = ['ok', '../x']\n", METRIC, "submission.clear_before_run.1", "relative path"),
    "no bytes": ("", SUBMISSION + "max_bytes = 0\n", METRIC, "submission.max_bytes", "greater than 0"),
    "no files": ("", SUBMISSION + "max_files = 0\n", METRIC, "submission.max_files", "greater than 0"),
    "kind": ("", "[submission]\nkind = 'song'\n", METRIC, "submission.kind", "'tree', 'file', 'json', 'answer' or 'episode'"),
    "file without a path": ("", "[submission]\nkind = 'file'\n", METRIC, "submission", "kind 'file' needs a path"),
    "json without a path": ("", "[submission]\nkind = 'json'\n", METRIC, "submission", "kind 'json' needs a path"),
    "no submission": ("", "", METRIC, "task", "a task with metrics needs a [submission]"),
    "no metric": ("", SUBMISSION, "", "task", "exactly one [[metric]] must have primary = true"),
    "no primary": ("", SUBMISSION, "[[metric]]\nname = 'm'\n", "task", "exactly one [[metric]] must have primary = true"),
    "two primary": ("", SUBMISSION, METRIC + METRIC.replace('"m"', '"n"'), "task", "exactly one [[metric]] must have primary = true"),
    "same name": ("", SUBMISSION, METRIC + "[[metric]]\nname = 'm'\n", "task", "two metrics have the same name"),
    "rule": ("", SUBMISSION, METRIC.replace('"eq"', '"about"'), "metric.0.success.rule", "'eq', 'ge', 'gt', 'le', 'lt'"),
    "no baseline": (
        "",
        SUBMISSION,
        METRIC.replace('"eq"', '"relative_improvement_gt"'),
        "metric.0",
        "metric 'm': relative_improvement_gt needs a baseline",
    ),
    "no best": (
        "",
        SUBMISSION,
        METRIC + "normalise = 'baseline_to_one'\nbaseline = {value = 1, source = 'x'}\n",
        "metric.0",
        "metric 'm': baseline_to_one needs a baseline and best",
    ),
    "unpinned package": ("[[workspace.copy]]\nfrom = 'pypi:x'\n", SUBMISSION, METRIC, "workspace.copy.0", "must be pinned"),
    "package without hash": ("[[workspace.copy]]\nfrom = 'pypi:x==1'\n", SUBMISSION, METRIC, "workspace.copy.0", "sha256 = '...'"),
    "copy from outside": ("[[workspace.copy]]\nfrom = '../x'\n", SUBMISSION, METRIC, "workspace.copy.0", "'../x' must be a relative path"),
    "copy to outside": ("[[workspace.copy]]\nfrom = 'x'\nto = '/x'\n", SUBMISSION, METRIC, "workspace.copy.0", "'/x' must be"),
    "axis without values": ("[prompt]\naxes = {level = []}\n", SUBMISSION, METRIC, "prompt", "axis 'level' has no values"),
    "default off the axis": (
        "[prompt]\naxes = {level = ['a', 'b']}\ndefault = {level = 'c'}\n",
        SUBMISSION,
        METRIC,
        "prompt",
        "default level = 'c' is not one of a, b",
    ),
    "default without axis": ("[prompt]\ndefault = {mood = 'c'}\n", SUBMISSION, METRIC, "prompt", "default names an unknown axis: mood"),
    "grader's folder": ("[grader]\nfolders = ['data']\n", SUBMISSION, METRIC, "grader.folders.0", "'data' must be an absolute path"),
    "grader in no time": ("[grader]\ntimeout = 0\n", SUBMISSION, METRIC, "grader.timeout", "greater than 0"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "submission", "metric", "field", "said"), RULES.values(), ids=RULES.keys())
def test_what_is_wrong_is_named_with_file_and_field(
    make_task: MakeTask, tmp_path: Path, more: str, submission: str, metric: str, field: str, said: str
) -> None:
    with pytest.raises(TaskError) as caught:
        make_task(more, submission=submission, metric=metric)
    message = caught.value.message
    assert message.startswith(f"{tmp_path / 'tasks' / 'data-science' / 'made' / 'task.toml'}: ")
    assert f" {field}: " in message
    assert said in message
    assert caught.value.hint == "docs/tasks.md describes every field"


SILENT = {
    "instruction for a value that is not there": (
        "[prompt]\naxes = {level = ['base', 'lazy']}\nfiles = {'level=lasy' = 'lazy.md'}\n",
        SUBMISSION,
        METRIC,
        "level=lasy",
    ),
    "instruction for half a variant": (
        "[prompt]\naxes = {level = ['a'], mood = ['b', 'c']}\nfiles = {'mood=c' = 'c.md'}\n",
        SUBMISSION,
        METRIC,
        "mood=c",
    ),
    "axis value twice": ("[prompt]\naxes = {level = ['a', 'a']}\n", SUBMISSION, METRIC, "level"),
    "range upside down": ("", SUBMISSION, METRIC.replace("[0, 1]", "[1, 0]"), "range"),
    "range of nothing": ("", SUBMISSION, METRIC.replace("[0, 1]", "[nan, 1]"), "range"),
    "relative to zero": (
        "",
        SUBMISSION,
        METRIC.replace('"eq"', '"relative_improvement_gt"') + "baseline = {value = 0, source = 'x'}\n",
        "baseline",
    ),
    "baseline that is the best": (
        "",
        SUBMISSION,
        METRIC + "normalise = 'baseline_to_one'\nbest = 1\nbaseline = {value = 1, source = 'x'}\n",
        "best",
    ),
    "baseline without size": (
        "",
        SUBMISSION,
        METRIC.replace('"eq"', '"relative_improvement_gt"') + "baseline = {value = inf, source = 'x'}\n",
        "baseline",
    ),
    "bound of nothing": ("", SUBMISSION, METRIC.replace("value = 1", "value = nan"), "success"),
    "nul in a path": ("", '[submission]\nkind = "file"\npath = "a\\u0000b"\n', METRIC, "path"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "submission", "metric", "field"), SILENT.values(), ids=SILENT.keys())
def test_what_could_never_work_is_found_before_a_run(make_task: MakeTask, more: str, submission: str, metric: str, field: str) -> None:
    with pytest.raises(TaskError, match=r"task\.toml: ") as caught:
        make_task(more, submission=submission, metric=metric)
    assert field in caught.value.message


@pytest.mark.parametrize("package", ["numpy @ https://example.org/n.whl", "./n.whl", "-r x.txt", "--pre", "numpy==", ""])
def test_added_packages_are_names_and_versions(make_task: MakeTask, package: str) -> None:
    with pytest.raises(TaskError, match=r"environment\.packages\.0: "):
        make_task(environment=f"[environment]\npackages = ['{package}']\n")


def test_added_packages_may_have_extras_and_markers(make_task: MakeTask) -> None:
    packages = ["numpy<2.4", "polars[excel]>=1,<2", "pywin32; sys_platform == 'win32'"]
    assert make_task(environment=f"[environment]\npackages = {json.dumps(packages)}\n").task.environment.packages == packages


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("memory = 'lots'", "memory: .*'lots' is not a size"),
        ("memory = '0'", "the limit memory cannot be 0"),
        ("cpus = 0", "cpus: .*greater than or equal to 0.01"),
        ("cpus = inf", "cpus: .*finite"),
    ],
)
def test_a_limit_that_none_can_be_is_found_before_a_run(make_task: MakeTask, line: str, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        make_task(environment=f"[environment]\n{line}\n")


@pytest.mark.parametrize("name", ["flat", "Upper/case", "a//b", "/a/b", "a/b/", "a/../b", "a/.b", "", "a/b c", "a/ü", "a/b\n"])
def test_an_id_is_a_path_of_plain_words(name: str) -> None:
    with pytest.raises(ValueError, match="id"):
        task(id=name)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text("schema = 1\n")
    with pytest.raises(TaskError) as caught:
        TaskFolder.load(tmp_path)
    for field in ("id", "family", "suite", "licence", "source", "summary"):
        assert f"{field}: Field required" in caught.value.message


def test_another_schema_is_refused(make_task: MakeTask) -> None:
    folder = make_task()
    file = folder.root / "task.toml"
    file.write_text(file.read_text().replace("schema = 1", "schema = 2"))
    with pytest.raises(TaskError, match=r"schema: Input should be 1"):
        TaskFolder.load(folder.root)


@pytest.mark.parametrize("content", [b"schema = = 1", b"\xff\xfe", b"id = 'x", b"\0"])
def test_what_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "task.toml").write_bytes(content)
    with pytest.raises(TaskError, match=r"task\.toml (is not TOML: |cannot be read: it is not UTF-8)") as caught:
        TaskFolder.load(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"task\.toml does not exist") as caught:
        TaskFolder.load(tmp_path)
    assert caught.value.hint == "a task is a folder with a task.toml"


names = st.text("abcdefg", min_size=1, max_size=4)
axes = st.dictionaries(names, st.lists(names, min_size=1, max_size=3, unique=True), max_size=3)


class TestVariants:
    @given(axes=axes)
    def test_are_the_product_of_the_axes(self, axes: dict[str, list[str]]) -> None:
        found = task(prompt={"axes": axes}).variants
        assert len(found) == math.prod(map(len, axes.values()))
        assert len({tuple(variant.items()) for variant in found}) == len(found)
        assert {tuple(variant.values()) for variant in found} == set(itertools.product(*axes.values()))
        assert all(list(variant) == list(axes) for variant in found)

    @given(axes=axes, data=st.data())
    def test_are_filled_up_with_defaults(self, axes: dict[str, list[str]], data: st.DataObject) -> None:
        def some(label: str) -> dict[str, str]:
            picked = data.draw(st.lists(st.sampled_from(sorted(axes)), unique=True) if axes else st.just([]), label=label)
            return {axis: data.draw(st.sampled_from(axes[axis])) for axis in picked}

        default, chosen = some("default"), some("chosen")
        made = task(prompt={"axes": axes, "default": default})
        found = made.resolve_variant(chosen)
        assert found in made.variants
        assert found == {axis: {axis: values[0], **default, **chosen}[axis] for axis, values in axes.items()}

    @given(axes=axes)
    def test_resolve_to_themselves(self, axes: dict[str, list[str]]) -> None:
        made = task(prompt={"axes": axes})
        assert [made.resolve_variant(variant) for variant in made.variants] == made.variants

    def test_that_are_unknown_name_what_there_is(self) -> None:
        made = task(prompt={"axes": {"level": ["base", "lazy"], "mood": ["calm"]}})
        with pytest.raises(TaskError, match="data-science/made has no variant axis 'lvl'") as caught:
            made.resolve_variant({"lvl": "base"})
        assert caught.value.hint == "its axes: level, mood"
        with pytest.raises(TaskError, match="has no level = 'hard'") as caught:
            made.resolve_variant({"level": "hard"})
        assert caught.value.hint == "one of: base, lazy"
        with pytest.raises(TaskError) as caught:
            task().resolve_variant({"level": "base"})
        assert caught.value.hint == "its axes: none"

    def test_have_instructions_of_their_own(self, make_task: MakeTask) -> None:
        prompt = "[prompt]\naxes = {level = ['a', 'b'], mood = ['x', 'y']}\nfiles = {'level=b,mood=y' = 'by.md'}\n"
        folder = make_task(prompt, files={"by.md": "  Special. \n"})
        texts = {tuple(variant.values()): folder.instruction(variant) for variant in folder.task.variants}
        assert texts == {("a", "x"): "Do it.", ("a", "y"): "Do it.", ("b", "x"): "Do it.", ("b", "y"): "Special."}

    def test_without_their_file_say_so(self, make_task: MakeTask) -> None:
        folder = make_task("[prompt]\nfile = 'nope.md'\n")
        with pytest.raises(TaskError, match=r"nope\.md does not exist") as caught:
            folder.instruction({})
        assert caught.value.hint == "it is the task's instruction"


def metric(**more: Any) -> Metric:
    return Metric.model_validate({"name": "m", **more})


finite = st.floats(-1e6, 1e6)


class TestMetric:
    @given(value=finite, bound=finite)
    def test_rules_compare_with_their_value(self, value: float, bound: float) -> None:
        holds = {rule: metric(success={"rule": rule, "value": bound}).succeeds(value) for rule in ("eq", "ge", "gt", "le", "lt")}
        assert holds == {"eq": value == bound, "ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}

    @pytest.mark.parametrize(
        ("direction", "baseline", "value", "gain"),
        [
            ("min", 50.0, 45.0, 0.1),
            ("min", 50.0, 55.0, -0.1),
            ("min", 50.0, 0.0, 1.0),
            ("max", 50.0, 55.0, 0.1),
            ("max", 50.0, 45.0, -0.1),
            ("max", -50.0, -45.0, 0.1),
            ("min", -50.0, -55.0, 0.1),
        ],
    )
    def test_improvement_is_relative_to_the_baseline(self, direction: str, baseline: float, value: float, gain: float) -> None:
        rule = {"rule": "relative_improvement_gt", "value": gain - 0.01}
        made = metric(direction=direction, baseline={"value": baseline, "source": "x"}, success=rule)
        assert made.improvement(value) == pytest.approx(gain)
        assert made.succeeds(value) is True
        assert metric(**{**made.model_dump(), "success": {**rule, "value": gain + 0.01}}).succeeds(value) is False

    def test_improvement_must_be_more_than_the_bound(self) -> None:
        made = metric(direction="min", baseline={"value": 100, "source": "x"}, success={"rule": "relative_improvement_gt", "value": 0.1})
        assert made.succeeds(90.0) is False
        assert made.succeeds(89.9) is True

    def test_without_a_rule_says_nothing(self) -> None:
        assert metric().succeeds(1.0) is None

    @given(value=finite)
    def test_normalises_to_itself(self, value: float) -> None:
        assert metric().normalised(value) == value

    @given(baseline=finite, best=finite, share=st.floats(-2, 2))
    def test_normalises_between_baseline_and_best(self, baseline: float, best: float, share: float) -> None:
        if abs(best - baseline) < 1e-3:
            best = baseline + 1
        made = metric(normalise="baseline_to_one", best=best, baseline={"value": baseline, "source": "x"})
        assert made.normalised(baseline) == 0
        assert made.normalised(best) == pytest.approx(1)
        assert made.normalised(baseline + share * (best - baseline)) == pytest.approx(share, abs=1e-5)


class TestSolution:
    def cells(self, make_task: MakeTask, **files: str) -> list[str]:
        return make_task(files={f"solution/{name}.py": text for name, text in files.items()}).solution()

    def test_is_cut_at_its_markers(self, make_task: MakeTask) -> None:
        assert self.cells(make_task, a="# %%\nx = 1\n\n# %%\ny = 2\nz = 3\n") == ["x = 1", "y = 2\nz = 3"]

    def test_may_have_no_markers(self, make_task: MakeTask) -> None:
        assert self.cells(make_task, a="x = 1\n") == ["x = 1"]

    def test_is_in_order_of_file_names(self, make_task: MakeTask) -> None:
        assert self.cells(make_task, b="# %%\nsecond\n", a="first\n# %%\nmore\n") == ["first", "more", "second"]

    def test_leaves_out_empty_cells(self, make_task: MakeTask) -> None:
        assert self.cells(make_task, a="# %%\n\n# %%\n   \n# %%\nx\n") == ["x"]

    def test_leaves_markers_within_lines_alone(self, make_task: MakeTask) -> None:
        assert self.cells(make_task, a="x = '# %%'  # %% no\n") == ["x = '# %%'  # %% no"]

    def test_leaves_titles_of_cells_out(self, make_task: MakeTask) -> None:
        # as Jupytext, Spyder and VS Code write them
        found = self.cells(make_task, a="# %% Load the data\nx = 1\n# %% [markdown] tags\n# text\n")
        assert found == ["x = 1", "# text"]

    def test_may_be_missing(self, make_task: MakeTask) -> None:
        folder = make_task()
        assert (folder.solution(), folder.solution_answer()) == ([], None)

    def test_may_have_an_answer(self, make_task: MakeTask) -> None:
        assert make_task(files={"solution/answer.txt": "\n42 \n"}).solution_answer() == "42"

    def test_of_a_question_is_not_known(self) -> None:
        with pytest.raises(TaskError, match="no reference solution"):
            Interactive("Why?").solution()


class TestInteractive:
    def test_is_what_the_person_asked(self) -> None:
        asked = Interactive("Why?", environment="python-min")
        assert asked.instruction({}) == "Why?"
        assert (asked.task.submission, asked.task.environment.name) == (None, "python-min")
        assert asked.hash() == Interactive("Why?").hash() != Interactive("How?").hash()


contents = st.dictionaries(
    st.lists(st.text("ab.é ", min_size=1, max_size=3).filter(lambda part: part.strip(".")), min_size=1, max_size=3).map("/".join),
    st.binary(max_size=8),
    max_size=4,
)


def write(root: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    """Write what can be written: a name may already be a folder."""
    kept = {}
    for name, data in files.items():
        path = root / name
        if any(f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/") for other in kept):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kept[name] = data
    return kept


class TestTreeHash:
    @given(one=contents, two=contents)
    def test_is_the_same_just_for_the_same_files(
        self, tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], two: dict[str, bytes]
    ) -> None:
        first, second = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
        same = write(first, one) == write(second, dict(reversed(two.items())))
        assert (tree_hash(first) == tree_hash(second)) is same

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ({"a": b"xb\x001\x00y"}, {"a": b"x", "b": b"y"}),
            ({"ab": b"c"}, {"a": b"bc"}),
            ({"a/b": b""}, {"a": b"b"}),
            ({"a": b""}, {"b": b""}),
            ({"a": b""}, {}),
            ({"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}),
        ],
    )
    def test_tells_what_looks_alike_apart(self, tmp_path: Path, one: dict[str, bytes], two: dict[str, bytes]) -> None:
        for name, files in {"one": one, "two": two}.items():
            (tmp_path / name).mkdir()
            write(tmp_path / name, files)
        assert tree_hash(tmp_path / "one") != tree_hash(tmp_path / "two")

    def test_passes_caches_over(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").touch()
        before = tree_hash(tmp_path)
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
        assert tree_hash(tmp_path) == before

    def test_looks_below_its_root_only(self, tmp_path: Path) -> None:
        root = tmp_path / "__pycache__" / "task"
        root.mkdir(parents=True)
        before = tree_hash(root)
        (root / "a").touch()
        assert tree_hash(root) != before

    def test_takes_any_name(self, tmp_path: Path) -> None:
        before = tree_hash(tmp_path)
        (tmp_path / "new\nline \udcff").touch()
        assert tree_hash(tmp_path) != before

    def test_is_of_the_whole_task(self, make_task: MakeTask) -> None:
        folder = make_task(files={"workspace/a": "1", "solution/s.py": ""})
        seen = {folder.hash()}
        for name in ("task.toml", "instruction.md", "hidden/grader.py", "workspace/a", "solution/s.py"):
            with (folder.root / name).open("a") as file:
                file.write("#")
            seen.add(folder.hash())
        assert len(seen) == 6
