"""Dockerfiles of upstream's: whatever they say, an image is read or said to lack something."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from workbench.tasks.checkout import Checkout
from workbench.tasks.importers.harbor import formats, images

LINES = st.tuples(
    st.sampled_from(["FROM", "RUN", "COPY", "ADD", "ENV", "WORKDIR", "CMD", "USER", "ARG", "#", ""]),
    st.text("ab/.-=[]\"'$|&;<\\ \t{}*0", max_size=12),
).map(" ".join)


@given(st.lists(LINES, max_size=5))
def test_any_text_is_an_image_or_lacks_something(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "task.yaml").write_text("instruction: do it")
        (root / "Dockerfile").write_text("\n".join(lines))
        checkout = Checkout(root)
        image = images.read(checkout, formats.read(checkout, root))
    # none of these lines starts from an image that is had here
    assert image.lacking
