"""Try every attack and keep what came of it, or write the page from what was kept.

Run as ``python -m tests.kernels.red_team try FILE``, once as each user, and then ``python -m tests.kernels.red_team publish FILE``,
which fails when anything but what was expected came of any.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .matrix import CONTAINED, PAGE, THROUGH, WEAK, Outcomes, declared, page, worse


class Recorder:
    """Listens to pytest."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what came of a trial; one that could not be tried here is tried elsewhere."""
        trial = dict(report.user_properties).get("trial")
        if trial is None or (report.when == "setup" and report.passed):
            return
        name, backend = trial
        known = hasattr(report, "wasxfail")
        if report.skipped and not known:
            return
        outcome = WEAK if known and report.skipped else CONTAINED if report.passed and not known else THROUGH
        self.outcomes[name, backend] = worse(outcome, self.outcomes.get((name, backend), outcome))


def main(what: str, file: Path) -> int:
    """Do one of the two."""
    kept = json.loads(file.read_text()) if file.exists() else []
    outcomes: Outcomes = {(name, backend): outcome for name, backend, outcome in kept}
    if what == "publish":
        PAGE.write_text(page(outcomes), encoding="utf-8")
        return int(outcomes != declared())
    code = pytest.main(
        ["-q", "-n", "2", "-p", "no:cacheprovider", str(Path(__file__).parent / "test_red_team.py")], plugins=[Recorder(outcomes)]
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([[*key, outcome] for key, outcome in sorted(outcomes.items())], indent=0))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
