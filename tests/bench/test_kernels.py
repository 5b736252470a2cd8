"""The benchmark of kernels, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import require_walls


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "workbench", "bench", "kernels", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.walls
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_everything_is_measured_beside_a_baseline_and_written_down(tmp_path: Path) -> None:
    require_walls("bubblewrap")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    done = bench("--rounds", "1", "--crowd", "2", "--write", str(page), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 9
    assert all(each["ours"] and each["baseline"] and each["ratio"] > 0 and each["baseline_name"] for each in found)
    text = page.read_text()
    assert text.startswith("before\n<!-- measured -->\n") and text.endswith("<!-- /measured -->\nafter\n")
    assert "old" not in text and all(f"| {each['name']} |" in text for each in found)


@pytest.mark.parametrize("text", [None, "", "<!-- measured -->\nmine", "<!-- /measured -->\nmine\n<!-- measured -->"])
def test_a_page_with_no_place_for_it_is_refused_before_anything_is_measured(tmp_path: Path, text: str | None) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    done = bench("--write", str(page))
    assert done.returncode == 2 and "page.md" in done.stderr.replace("\n", "") and "round" not in done.stderr
    assert (page.read_text() if page.exists() else None) == text
