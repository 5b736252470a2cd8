"""The sandboxes that a grader asks for: what it says is not believed, and one that is asked for is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import GraderError
from workbench.kernels import process, runtime, walls
from workbench.kernels.cgroups import Cgroup
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.tasks import availability, sandboxes
from workbench.tasks.sandboxes import Sandboxes

PLACE = "/grading/submission"


@pytest.fixture
async def made(minimal: Environment) -> AsyncIterator[Sandboxes]:
    before = set(runtime.mine().iterdir())
    made = Sandboxes(minimal, Limits(memory=2**28), [])
    yield made
    await made.close()
    assert set(runtime.mine().iterdir()) == before


def put(made: Sandboxes, name: str, **files: str) -> None:
    folder = made.lent.host / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)


@pytest.mark.walls
async def test_code_finds_what_was_submitted_and_says_how_it_ended(made: Sandboxes) -> None:
    put(made, "0", given="text")
    code = "import sys\nprint(open(sys.path[0] + '/given').read(), sys.path[0])\nsys.exit(3)"
    assert await made.answer({"start": "0", "at": PLACE, "code": code}) == {"started": "0"}
    ended = await made.answer({"end": "0", "seconds": 30})
    assert (ended["returncode"], ended["stdout"]) == (3, f"text {PLACE}\n")


@pytest.mark.walls
async def test_two_see_nothing_of_each_other(made: Sandboxes) -> None:
    code = (
        "import os\nprint(len([each for each in os.listdir('/proc') if each.isdigit()]), sorted(os.listdir('/tmp')), flush=True)\ninput()"
    )
    for name in ("0", "1"):
        put(made, name)
        await made.answer({"start": name, "at": f"/tmp/{name}", "code": code})
    said = [(await made.answer({"tell": name, "line": "", "seconds": 30, "most": 1000}))["line"] for name in ("0", "1")]
    assert said == ["2 ['0', 'home']\n", "2 ['1', 'home']\n"]


@pytest.mark.walls
async def test_what_takes_all_memory_says_so_and_takes_nothing_of_the_graders(made: Sandboxes) -> None:
    put(made, "0")
    await made.answer({"start": "0", "at": PLACE, "code": "held = []\nwhile True: held.append(b'x' * 2**20)"})
    ended = await made.answer({"end": "0", "seconds": 60})
    assert ended["returncode"] != 0
    assert "MemoryError" in ended["stderr"] or "memory limit" in ended["stderr"]


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "../0", "at": PLACE, "code": ""},
        {"start": "0", "at": "grading", "code": ""},
        {"start": "0", "at": "/a/../etc", "code": ""},
        {"start": "0", "at": "/", "code": ""},
        {"start": "0", "at": "/a\0b", "code": ""},
        {"start": 0, "at": PLACE, "code": ""},
        {"start": "7", "at": PLACE, "code": ""},
        {"tell": "0", "line": "", "seconds": 1, "most": 1},
        {"end": "0", "seconds": 1},
        {"end": ["0"]},
        {},
    ],
)
async def test_nonsense_is_the_graders_fault(made: Sandboxes, asked: dict[str, Any]) -> None:
    put(made, "0")
    with pytest.raises(GraderError, match="grader"):
        await made.answer(asked)


async def test_a_link_to_somewhere_else_is_not_shown(made: Sandboxes, tmp_path: Path) -> None:
    (made.lent.host / "0").symlink_to(tmp_path)
    with pytest.raises(GraderError, match="not a folder"):
        await made.answer({"start": "0", "at": PLACE, "code": ""})


class TestProcessorTime:
    @pytest.mark.parametrize(
        ("kind", "counts", "machine", "there"),
        [
            ("bubblewrap", True, "riscv64", True),
            ("bubblewrap", False, "x86_64", True),
            ("bubblewrap", False, "riscv64", False),
            ("sandlock", True, "x86_64", False),
        ],
    )
    def test_can_be_had_or_the_task_is_unavailable(
        self, monkeypatch: pytest.MonkeyPatch, kind: str, counts: bool, machine: str, there: bool
    ) -> None:
        import sandlock

        monkeypatch.setattr(walls, "protection", lambda: walls.Protection(kind))
        monkeypatch.setattr(sandboxes, "counts_cpu", lambda: counts)
        monkeypatch.setattr(sandlock, "landlock_abi_version", sandlock.min_landlock_abi)
        monkeypatch.setattr("platform.machine", lambda: machine)
        assert sandboxes.can_time() is there

    def test_is_what_timing_tasks_need(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from workbench.tasks import find

        task = find("ml-experimentation/signal-features-faster").task
        monkeypatch.setattr(availability, "can_time", lambda: False)
        assert availability.lacking(task) == ["cgroup"]
        monkeypatch.setattr(availability, "can_time", lambda: True)
        assert availability.lacking(task) == []

    def test_asking_whether_it_is_counted_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Cgroup | None] = []

        class Noted(Cgroup):
            @classmethod
            def create(cls, name: str, limits: Limits, **more: Any) -> Cgroup | None:
                made.append(Cgroup.create(name, limits))
                return made[-1]

        monkeypatch.setattr(process, "Cgroup", Noted)
        process.counts_cpu.cache_clear()
        there = process.counts_cpu()
        assert there is (made[0] is not None)
        assert not any(folder.exists() for group in made if group is not None for folder in group.folders)
