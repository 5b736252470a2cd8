"""A notebook in JupyterLab, used as a person does: with a browser."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.async_api import Locator, Page, expect

from tests.kernels.jupyter import Server
from tests.kernels.tools import PATIENCE

MILLISECONDS = PATIENCE * 1000


@dataclass
class NotebookPage:
    """A notebook that is open in the browser, its kernel ready.

    Attributes
    ----------
    page : Page
        The browser's tab.
    file : Path
        The notebook.
    """

    page: Page
    file: Path

    @classmethod
    async def open(cls, server: Server, page: Page, *cells: str, kernel: str = "python3") -> NotebookPage:
        """Write a notebook into the server's folder of notebooks and open it."""
        spec = {"name": kernel, "display_name": kernel, "language": "python"}
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": spec})
        # a server gives a notebook that was open before its old kernel again
        file = server.root / "copies" / f"{uuid.uuid4().hex}.ipynb"
        nbformat.write(made, file)
        await page.goto(f"http://{server.address}/lab/tree/{file.name}?reset&token={server.token}")
        opened = cls(page, file)
        await expect(page.locator("#jp-main-statusbar").get_by_text("| Idle")).to_be_visible(timeout=MILLISECONDS)
        await expect(opened.cell(len(cells) - 1)).to_be_visible(timeout=MILLISECONDS)
        return opened

    def cell(self, number: int) -> Locator:
        """A cell; the first has number 0."""
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{number}']")

    def output(self, number: int) -> Locator:
        """What a cell shows."""
        return self.cell(number).locator(".jp-OutputArea").first

    async def run(self, *numbers: int) -> None:
        """Run cells, one after the other, without waiting for them."""
        for number in numbers:
            await self.cell(number).locator(".cm-content").click()
            await self.page.keyboard.press("Control+Enter")

    async def shows(self, number: int, text: str) -> None:
        """Wait until a cell shows a text."""
        await expect(self.output(number)).to_contain_text(text, timeout=MILLISECONDS)

    async def ends(self, number: int) -> None:
        """Wait until a cell has run, or is not going to."""
        await expect(self.cell(number).locator(".jp-InputPrompt").first).not_to_have_text("[*]:", timeout=MILLISECONDS)

    async def stop(self) -> None:
        """Press the stop button."""
        await self.page.locator(".jp-NotebookPanel [data-command='notebook:interrupt-kernel']").click()

    async def save(self) -> None:
        """Save the notebook."""
        await self.page.keyboard.press("Control+s")
        await expect(self.page.locator(".jp-mod-dirty")).to_have_count(0, timeout=MILLISECONDS)
