"""MLE-bench: Kaggle competitions with a test set of upstream's own; a submission gets the medal it would have won.

The data are Kaggle's. The user prepares them with upstream's ``mlebench prepare``; what is prepared can be run.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.files import Files
from workbench.tasks.imported import Imported, Piece, described
from workbench.tasks.spec import Task

TITLE = "MLE-bench"
SOURCE = "Chan et al. (2025), arXiv 2410.07095; github.com/openai/mle-bench"

_GRADER = Path(__file__).parent / "graders" / "mle_bench.py"
_HINT = "is this a complete checkout of the benchmark?"
_LFS = "version https://git-lfs"
_MOST_GOLD = 8 * 2**20
_MOST_FILES = 10**7
_DIFFICULTY = {"low": "easy", "medium": "medium", "high": "hard"}
# what upstream's grade functions import beyond the data stack
_PACKAGES = ["levenshtein>=0.25.1", "pycocotools>=2.0.8", "pyquaternion>=0.9.9", "shapely>=2.0.5", "py7zr>=0.21", "pyyaml>=6", "tqdm>=4"]
_NOTE = """This is a competition that was held on Kaggle, with a test set of its own: the data may differ a little from what is said below.
The files are in /workspace/data. Train a model and predict the test set; do not label it by hand, nor look for the solutions of others.
What is graded is /workspace/submission.csv, however it is said to be handed in below; its columns are those of the sample submission.

"""


class Data(Checkout):
    """A checkout, and the data that were prepared with it.

    Parameters
    ----------
    root : Path
        The checkout.
    """

    most_bytes = sys.maxsize
    """Kaggle's data, which the user has downloaded, may be hundreds of gigabytes."""

    @functools.cached_property
    def others(self) -> tuple[Files, ...]:
        """Folders outside the checkout with files of tasks."""
        kept = Files(self.prepared[-1], dangling=True, most_bytes=sys.maxsize, most_entries=_MOST_FILES)
        return (*super().others, kept)

    @functools.cached_property
    def files(self) -> Files:
        """The content of the checkout."""
        return Files(self.root, skipped=super().files.skipped, dangling=True, most_bytes=sys.maxsize, most_entries=_MOST_FILES)

    @property
    def prepared(self) -> list[Path]:
        """Where prepared data may be: in the checkout, and where upstream puts them by default."""
        return [self.root / "data", Path(platformdirs.user_cache_dir("mle-bench", appauthor=False)) / "data"]

    def fingerprint(self, path: Path) -> str:
        """Return a hash of a file or folder; for data, which may be huge, over names, sizes and times only."""
        if not any(path.is_relative_to(each) for each in self.prepared):
            return super().fingerprint(path)
        files, name = self.located(path)
        digest = hashlib.sha256()
        for entry in files.entries(name):
            said = f"{entry.info.st_mode} {entry.info.st_size} {entry.info.st_mtime_ns}" if not entry.is_folder else ""
            digest.update(os.fsencode(entry.path) + f"\0{said}\0{entry.link}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()


class Competition(Imported):
    """A competition whose reference solution is the answers; they are read when they are asked for."""

    gold: Path | None = None

    def solution(self) -> list[str]:
        """Return a cell that writes the gold submission; nothing where it is too large for one."""
        if self.gold is None or self.gold.suffix != ".csv" or self.gold.stat().st_size > _MOST_GOLD:
            return []
        files, name = self.checkout.located(self.gold)
        return [f"from pathlib import Path\n\nPath('submission.csv').write_text({files.text(name)!r})"]


def tasks(checkout: Checkout) -> list[Imported]:
    """Return every competition of the checkout: the 75 of the paper, and those that upstream develops with.

    Raises
    ------
    TaskError
        If the checkout is not one of MLE-bench.
    """
    data = Data(checkout.root)
    splits = {name: data.text("experiments", "splits", f"{name}.txt").split() for name in _DIFFICULTY}
    configs = sorted(data.find("mlebench", "competitions").glob("*/config.yaml"))
    if not configs:
        raise TaskError(f"{checkout.root / 'mlebench' / 'competitions'} holds no competition", hint=_HINT)
    found: list[Imported] = []
    for path in configs:
        with checkout.reading(f"mle-bench/{path.parent.name.lower()}"):
            found.append(_task(data, path.parent, next((name for name, ids in splits.items() if path.parent.name in ids), None)))
    return found


def _task(data: Data, folder: Path, split: str | None) -> Competition:
    config = _config(data, folder)
    leaderboard = data.text(str((folder / "leaderboard.csv").relative_to(data.root)))
    needs, why = [], []
    home = next((each for each in data.prepared if _is_prepared(each, folder.name, config)), None)
    if home is None:
        needs.append("kaggle")
        why.append(f"mlebench prepare puts the data in {data.prepared[-1]}")
    if leaderboard.startswith(_LFS):
        needs.append("files")
        why.append("git lfs pull fetches the leaderboard")
    description = data.text(*PurePosixPath(config["description"]).parts)
    task = _described(folder, config, split, "; ".join(why), needs, "max" if needs else _direction(folder, leaderboard))
    return _competition(data, task, folder, config, f"{_NOTE}{description}", home)


def _competition(data: Data, task: Task, folder: Path, config: dict[str, Any], said: str, home: Path | None) -> Competition:
    if home is None:
        return Competition(task, data, {"": said}, [])
    upstream = data.find("mlebench")
    dataset = config["dataset"]
    answers = PurePosixPath(dataset["answers"])
    told = {
        "competition": folder.name,
        "name": config["grader"]["name"],
        "grade_fn": config["grader"]["grade_fn"],
        "answers": f"private/{answers.name}",
    }
    modules = ("__init__.py", "utils.py", "grade_helpers.py", "metrics.py", "competitions/__init__.py", "competitions/utils.py")
    pieces = [
        Piece("workspace/data", home / folder.name / "prepared" / "public"),
        Piece("workspace/data/description.md", data.find(*PurePosixPath(config["description"]).parts)),
        Piece("hidden/grader.py", _GRADER),
        Piece("hidden/task.json", json.dumps(told)),
        Piece(f"hidden/private/{answers.name}", home / answers),
        Piece(f"hidden/mlebench/competitions/{folder.name}", folder),
        *(Piece(f"hidden/mlebench/{name}", upstream / name) for name in modules),
    ]
    found = Competition(task, data, {"": said}, pieces)
    found.gold = home / dataset.get("gold_submission", dataset["answers"])
    return found


def _described(folder: Path, config: dict[str, Any], split: str | None, why: str, needs: list[str], direction: str) -> Task:
    return described(
        f"mle-bench/{folder.name.lower()}",
        family="ml-experimentation",
        licence="LicenseRef-Kaggle-competition-rules",
        source=SOURCE,
        summary=f"{config['name']}: a Kaggle competition, scored by {config['grader']['name']}.",
        difficulty=_DIFFICULTY.get(split or ""),
        prepare={"needs": needs, "why": why},
        environment={"name": "python-ds", "packages": _PACKAGES, "memory": "8G", "cell_seconds": 4 * 3600},
        interaction={"max_steps": 500, "max_seconds": 24 * 3600},
        submission={"kind": "file", "path": "submission.csv", "max_bytes": 2**30},
        grader={"timeout": 3600},
        metric=[
            {"name": "medal", "primary": True, "range": [0, 3], "invalid": 0, "success": {"rule": "ge", "value": 1}},
            {"name": "score", "direction": direction},
            {"name": "above_median", "range": [0, 1], "invalid": 0},
        ],
    )


def _config(data: Data, folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(data.text(str(path.relative_to(data.root))))
        said = [config["name"], config["grader"]["name"], config["grader"]["grade_fn"]]
        paths = [config["description"], *config["dataset"].values()]
        if not all(isinstance(each, str) for each in said + paths):
            raise TypeError("a value is no text")
        if any(".." in PurePosixPath(each).parts or PurePosixPath(each).is_absolute() for each in paths):
            raise ValueError("a path leaves the checkout")
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise TaskError(f"{path} does not describe a competition: {error!r}", hint=_HINT) from None
    return dict(config)


def _is_prepared(home: Path, name: str, config: dict[str, Any]) -> bool:
    """Say whether data are there as upstream's ``is_dataset_prepared`` wants them."""
    public = home / name / "prepared" / "public"
    needed = [home / config["dataset"][each] for each in ("answers", "sample_submission")]
    return public.is_dir() and any(public.iterdir()) and all(each.is_file() for each in needed)


def _direction(folder: Path, leaderboard: str) -> str:
    """Return which scores are better: a leaderboard begins with the best."""
    try:
        scores = [float(each["score"]) for each in csv.DictReader(io.StringIO(leaderboard)) if each["score"]]
        return "min" if scores[0] < scores[-1] else "max"
    except (KeyError, ValueError, IndexError) as error:
        raise TaskError(f"{folder / 'leaderboard.csv'} is no leaderboard: {error!r}", hint=_HINT) from None
