"""Shell scripts as simple commands: what is installed is told from everything else."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tasks.importers.harbor import shell

OPERATORS = {"&&", "||", ";", "|", "&", "|&"}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), min_size=1).filter(
    lambda word: word not in OPERATORS and not word.startswith("#") and not set(word) <= set("&|;")
)


@given(
    st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=4), st.sampled_from([" && ", " || ", "; ", "\n", " # more\n\n"])
)
def test_commands_are_found_whatever_their_words_are(commands: list[list[str]], end: str) -> None:
    assert shell.commands(end.join(map(shlex.join, commands))) == commands


@pytest.mark.parametrize(
    ("script", "python", "debian", "rest"),
    [
        ("apt-get update && apt-get install -y --no-install-recommends gcc=4:12 tmux && rm -rf /var/lib/apt/lists/*", [], ["gcc"], []),
        ("DEBIAN_FRONTEND=noninteractive sudo apt install r-base", [], ["r-base"], []),
        ("pip3 install --no-cache-dir 'numpy>=2,<3' scikit-learn[all]==1.7.0", ["numpy>=2,<3", "scikit-learn[all]==1.7.0"], [], []),
        ("python3 -m pip install --upgrade pip==25.2", ["pip==25.2"], [], []),
        ("uv pip install pandas", ["pandas"], [], []),
        ("pip install -e .", [], [], ["pip install -e ."]),
        ("pip install git+https://example.org/a", [], [], ["pip install git+https://example.org/a"]),
        ("pip install --index-url=https://example.org a", [], [], ["pip install --index-url=https://example.org a"]),
        ("pip install a | sh", [], [], ["pip install a | sh"]),
        ("rm -rf /var/lib/apt/lists/* /usr/lib", [], [], ["rm -rf /var/lib/apt/lists/* /usr/lib"]),
        ("make # all", [], [], ["make"]),
    ],
)
def test_what_a_script_installs(script: str, python: list[str], debian: list[str], rest: list[str]) -> None:
    done = shell.Installed()
    for command in shell.commands(script):
        done.more(shell.installs(command))
    assert (done.python, done.debian, done.rest) == (python, debian, rest)


def test_texts_that_a_script_carries_are_no_commands() -> None:
    script = "cat > a.py << 'EOF'\npip install torch\nEOF\npip install numpy\n"
    assert shell.commands(shell.without_heredocs(script)) == [["cat", ">", "a.py"], ["pip", "install", "numpy"]]
