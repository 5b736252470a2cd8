"""What a person sees of a run in JupyterLab."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.kernels.jupyter import Server
from tests.kernels.package_index import NAME, index
from tests.loopback import Loopback, RateLimit, Say, Slowly
from workbench.storage.store import Store

from .page import MILLISECONDS, NotebookPage

pytestmark = pytest.mark.walls

IS_CUT_OFF = """element => {
    for (let each = element; each; each = each.parentElement)
        if (each.scrollHeight > each.clientHeight + 1 && getComputedStyle(each).overflowY != 'visible') return true
    return false
}"""
LOAD = "%load_ext workbench"
BUSY = "First I count.\n```python\nprint('counted', 40 + 2, flush=True)\nwhile True: pass\n```"


def agent(server: Loopback, words: str) -> str:
    return f"%%agent --model openai/scripted --base-url {server.base_url}\n{words}"


async def test_a_run_is_seen_while_it_happens_and_the_stop_button_ends_it_and_all_that_waits(lab: Server, page: Page) -> None:
    go_on, events = threading.Event(), itertools.count()

    def withhold() -> None:
        if next(events) > 2:
            go_on.wait()

    with Loopback(RateLimit(retry_after=1), Slowly(Say(BUSY), withhold)) as server:
        try:
            notebook = await NotebookPage.open(lab, page, LOAD, agent(server, "Count."), agent(server, "Count again."), "print('later')")
            await notebook.run(0, 1, 2, 3)
            await notebook.shows(1, "asking again")
            await notebook.shows(1, "First")
            assert "I count" not in await notebook.output(1).inner_text()
        finally:
            go_on.set()
        await notebook.shows(1, "counted 42")
        await expect(notebook.cell(3).locator(".jp-InputPrompt")).to_have_text("[*]:")
        await notebook.stop()
        for number in (1, 2, 3):
            await notebook.ends(number)
        await notebook.shows(1, "interrupted")
        await notebook.shows(1, "counted 42")
        assert len(server.requests) == 2
    await expect(notebook.output(3)).to_have_text("")
    (run,) = Store(lab.root / "runs.duckdb").rows("SELECT status FROM runs")
    assert run["status"] == "interrupted"
    (observed,) = Store(lab.root / "runs.duckdb").rows("SELECT status, CAST(outputs AS VARCHAR) AS shown FROM observations")
    assert observed["status"] == "interrupted" and "counted 42" in observed["shown"]


async def test_a_saved_page_has_code_and_output_monospaced_and_whole(lab: Server, page: Page) -> None:
    lines = "\n".join(f"print('line {number}', flush=True)" for number in range(60))
    with Loopback(Say(f"```python\n{lines}\n```"), Say("<answer>There are 60 lines.</answer>")) as server:
        notebook = await NotebookPage.open(lab, page, LOAD, agent(server, "Print."))
        await notebook.run(0, 1)
        await notebook.shows(1, "There are 60 lines.")
        await notebook.ends(1)
        await notebook.save()
    saved = notebook.file.with_suffix(".html")
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", notebook.file], check=True, capture_output=True)
    await page.goto(saved.as_uri())
    for text in ("print('line 59', flush=True)", "line 59\n"):
        shown = page.locator(".jp-OutputArea pre", has_text=text.strip()).last
        await expect(shown).to_be_visible(timeout=MILLISECONDS)
        assert "monospace" in await shown.evaluate("element => getComputedStyle(element).fontFamily")
        assert not await shown.evaluate(IS_CUT_OFF)


async def test_a_package_is_installed_from_a_cell(lab: Server, page: Page, tmp_path: Path) -> None:
    with index(tmp_path) as port:
        spec = ["--environment", "python-min", "--name", "with-index", "--network", f"localhost:{port}", "--prefix", str(lab.root)]
        lab.cli("kernels", "install", *spec)
        install = f"%pip install -i http://localhost:{port}/simple {NAME}"
        notebook = await NotebookPage.open(lab, page, install, "import made_up\nmade_up.version", kernel="with-index")
        await notebook.run(0, 1)
        await notebook.shows(0, "Successfully installed")
        await notebook.shows(1, "'2.0'")
        assert importlib.util.find_spec("made_up") is None
