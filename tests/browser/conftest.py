"""Chromium, and a JupyterLab to look at with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tests.conftest import NO_BROWSER, REQUIRED
from tests.kernels.jupyter import Server, folders
from workbench.kernels.environments import Environment

from .page import MILLISECONDS

ROOT = Path(__file__).parents[2]
# a browser that asks its maker for news waits for a network that tests do not have
QUIET = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def lab(minimal: Environment, ds: Environment) -> Iterator[Server]:
    """JupyterLab as ``make lab`` starts it, with one kernel for sandboxed cells beside that of this Python."""
    with folders() as server:
        del server.environ["JUPYTER_NO_CONFIG"]
        server.environ |= {"OPENAI_API_KEY": "of-the-test", "WORKBENCH_STORE": str(server.root / "runs.duckdb")}
        asyncio.run(server.start("sh", str(ROOT / ".ci" / "lab"), sys.executable, str(server.root / "copies")))
        yield server


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A tab of a browser that has never been used before."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        reason = f"{NO_BROWSER}: Chromium is not installed; remedy: sudo apt-get install chromium"
        pytest.fail(reason) if os.environ.get(REQUIRED) else pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=QUIET, chromium_sandbox=os.geteuid() != 0)
        tab = await browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(MILLISECONDS)
        yield tab
        await browser.close()
