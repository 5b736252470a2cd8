"""The loop with a real small model behind a real server, both from PyPI; ``make smoke-llm`` runs this, CI never does.

The model solves nothing. It writes what real models write, so what counts is how the loop deals with that.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.commands import workbench
from tests.kernels.jupyter import free
from tests.kernels.tools import PATIENCE
from tests.made import make_task

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "local-model" / "bin" / "python"

pytestmark = [pytest.mark.smoke_llm, pytest.mark.walls]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server that docs/local_models.md describes."""
    if not PYTHON.exists():
        pytest.skip("NO LOCAL MODEL: make smoke-llm installs it")
    page = (ROOT / "docs" / "local_models.md").read_text(encoding="utf-8")
    (script,) = (block for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "import xllamacpp" in block)
    file = tmp_path_factory.mktemp("local") / "serve.py"
    file.write_text(script)
    with (file.parent / "log").open("w") as log:
        server = subprocess.Popen([PYTHON, file, str(free())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        said = next((line for line in server.stdout if line.startswith("serving at")), "")
        assert said, (file.parent / "log").read_text()[-2000:]
        yield said.split()[-1] + "/v1"
        server.stdin.close()
        server.wait(PATIENCE)
    finally:
        server.kill()
        server.wait()


def asked(address: str, store: Path, task: str, **options: object) -> wb.RunResult:
    sampling = {"max_tokens": 150, "temperature": 0, "extra.cache_prompt": False, "extra.seed": 1}
    return wb.run(task, model="openai/smollm2", base_url=address, model_options=sampling, store=store, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("agent", ["codeact", "codeact-tool"])
def test_every_reply_is_run_or_answered_and_recorded(address: str, tmp_path: Path, store_path: Path, minimal: object, agent: str) -> None:
    result = asked(address, store_path, str(make_task(tmp_path)), agent=agent, max_steps=3)
    assert result.error is None or result.error.kind == "limit"
    assert result.status in ("completed", "limit")
    assert result.success is not None
    store = wb.store(store_path)
    steps = store.rows("SELECT step, notes FROM steps ORDER BY step")
    calls = store.rows("SELECT step, text, output_tokens FROM model_calls ORDER BY step")
    acted = {row["step"] for row in store.rows("SELECT step FROM actions")}
    assert 1 <= len(steps) == len(calls) <= 3
    for step, call in zip(steps, calls, strict=True):
        assert call["output_tokens"] > 0
        last = result.status == "completed" and step == steps[-1]
        assert step["step"] in acted or step["notes"] or last, call["text"]


def test_a_full_context_is_a_limit(address: str, tmp_path: Path, store_path: Path, minimal: object) -> None:
    folder = make_task(tmp_path)
    (folder / "instruction.md").write_text("Write 42 into answer.txt. " + "Numbers follow: 1 2 3 4 5 6 7 8 9. " * 1000)
    result = asked(address, store_path, str(folder), max_steps=3)
    assert (result.status, result.limit) == ("limit", "context")
    assert result.error is not None and "llama-server" in str(result.error.hint)
    assert result.success is False


def test_the_command_line_takes_the_same_options(address: str, tmp_path: Path, store_path: Path, minimal: object) -> None:
    options = [f"--model-option={option}" for option in ("max_tokens=50", "temperature=0", "extra.cache_prompt=false")]
    model = ["--model", "openai/smollm2", "--base-url", address, "--max-steps", "1", "--store", store_path, *options]
    done = workbench("run", make_task(tmp_path), *model, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] in ("completed", "limit")
    (call,) = wb.store(store_path).rows("SELECT output_tokens FROM model_calls")
    assert 0 < call["output_tokens"] <= 50


def test_a_reply_is_shown_while_it_is_written(address: str, tmp_path: Path, store_path: Path, minimal: object) -> None:
    pieces: list[str] = []
    asked(address, store_path, str(make_task(tmp_path)), max_steps=1, on_text=pieces.append)
    (call,) = wb.store(store_path).rows("SELECT text FROM model_calls")
    assert len(pieces) > 1
    assert "".join(pieces) == call["text"]
