"""Harbor and Terminal-Bench: which tasks are found, what an image must be to be had here, and that tests cannot be forged."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import workbench as wb
from tests.tasks.importers.conftest import Solved
from workbench.errors import TaskError, UsageError
from workbench.kernels.environments import PYTHON
from workbench.models.scripted import Scripted
from workbench.result import RunResult
from workbench.tasks import availability, find, published, suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import harbor

REAL = "WORKBENCH_TEST_HARBOR"
TOML = """
version = "1.0"
[metadata]
difficulty = "medium"
[verifier]
timeout_sec = 60.0
[agent]
timeout_sec = 120.0
[environment]
memory = "1G"
"""
TEST_SH = f"""#!/bin/bash
# it installs what it doesn't find
apt-get update
apt-get install -y curl
curl -LsSf https://astral.sh/uv/0.9.5/install.sh | sh
source $HOME/.local/bin/env

if [ "$PWD" = "/" ]; then
    echo "Error: No working directory set."
    exit 1
fi
uvx \\
  -p {PYTHON} \\
  -w pytest==8.4.1 \\
  -w pytest-json-ctrf==0.3.5 \\
  pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA

if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
"""
DOCKERFILE = """FROM ubuntu:24.04
# nothing but files
RUN apt-get update && apt-get install -y tmux asciinema && \\
    rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY names.txt more/ ./
"""
SORTED = """
from pathlib import Path


def test_sorted():
    names = Path("/app/names.txt").read_text().split()
    assert Path("/app/sorted.txt").read_text().split() == sorted(names)


def test_more():
    assert Path("/app/more.txt").exists()
"""
DOUBLES = """
import subprocess
import sys


def test_runs():
    done = subprocess.run([sys.executable, "/app/run.py"], input="3457", capture_output=True, text=True)
    assert done.stdout.strip() == str(3457 * 2)
"""
ADDS = """
import importlib.util
import sys


def test_adds():
    spec = importlib.util.spec_from_file_location("solution", "/app/solution.py")
    solution = importlib.util.module_from_spec(spec)
    sys.modules["solution"] = solution
    spec.loader.exec_module(solution)
    cases = [("1, 2", 3), ("40, 2", 42)]
    for pair, expected in cases:
        assert solution.add(*eval(pair)) == expected
"""
YAML = """
instruction: Write a function add(a, b) to /app/solution.py.
difficulty: easy
parser_name: pytest
max_agent_timeout_sec: 60.0
max_test_timeout_sec: 60.0
"""
COMPOSE = """
services:
  client:
    build: {dockerfile: Dockerfile}
    command: [sh, -c, sleep infinity]
    environment: ["TEST_DIR=${T_BENCH_TEST_DIR}"]
    volumes: ["${T_BENCH_TASK_LOGS_PATH}:${T_BENCH_CONTAINER_LOGS_PATH}"]
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def task(folder: Path, **changed: str) -> None:
    """Write a task of Harbor's form; a key is a path with ``__`` for each ``/`` and ``_dot_`` for a dot."""
    files = {
        "task.toml": TOML,
        "instruction.md": "Sort the names in /app/names.txt into /app/sorted.txt.",
        "environment/Dockerfile": DOCKERFILE,
        "environment/names.txt": "wren\nowl\nlark\n",
        "environment/more/more.txt": "more\n",
        "tests/test.sh": TEST_SH,
        "tests/test_outputs.py": SORTED,
        "solution/solve.sh": "#!/bin/bash\nset -e\napt-get install -y python3\nsort /app/names.txt > sorted.txt\n",
    }
    write(folder, files | {name.replace("__", "/").replace("_dot_", "."): text for name, text in changed.items()})


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A look-alike of a folder of tasks."""
    root = tmp_path / "checkout"
    task(root / "sort-names")
    bare = "FROM debian:bookworm\nWORKDIR /app\n"
    doubled = "cat > /app/run.py << 'EOF'\nprint(int(input()) * 2)\nEOF\n"
    task(root / "doubles", environment__Dockerfile=bare, tests__test_outputs_dot_py=DOUBLES, solution__solve_dot_sh=doubled)
    task(root / "compiler", environment__Dockerfile=f"{DOCKERFILE}RUN apt-get install -y gcc make\n")
    task(root / "fetches", solution__solve_dot_sh="curl -O https://example.org/names\n")
    task(root / "graphics", task_dot_toml=f"{TOML}gpus = 1\n")
    write(
        root / "old" / "adds",
        {
            "task.yaml": YAML,
            "Dockerfile": f"FROM python:{PYTHON}-slim\nWORKDIR /app\n",
            "docker-compose.yaml": COMPOSE,
            "run-tests.sh": "uv init\nuv add pytest==8.4.1\nuv run pytest $TEST_DIR/test_outputs.py -rA",
            "tests/test_outputs.py": ADDS,
            "solution.sh": "cat > /app/solution.py << 'EOL'\ndef add(a, b):\n    return a + b\nEOL\n",
        },
    )
    return root


def lacking(folder: Path) -> str:
    """Return what the one task of a folder lacks."""
    (found,) = harbor.tasks(Checkout(folder))
    return "; ".join(availability.lacking(found.task))


def values(result: RunResult) -> dict[str, float | None]:
    assert result.error is None, result.error
    return {metric.metric: metric.value for metric in result.metrics}


def test_both_forms_are_found_and_what_cannot_be_run_says_why(upstream: Path) -> None:
    before = tree_hash(upstream)
    report = suites.import_("harbor", upstream)
    assert [each.task.id for each in report.found] == [
        f"harbor/{name}" for name in ("compiler", "doubles", "fetches", "graphics", "old/adds", "sort-names")
    ]
    assert {task: why for why, tasks in report.unavailable.items() for task in tasks} == {
        "harbor/compiler": "image (its Dockerfile: it installs gcc, make)",
        "harbor/fetches": "network (its solution uses 'curl')",
        "harbor/graphics": "gpu",
    }
    assert tree_hash(upstream) == before


def test_a_task_is_what_upstream_says(upstream: Path) -> None:
    found = {each.task.id: each for each in harbor.tasks(Checkout(upstream))}
    sort, adds = found["harbor/sort-names"], found["harbor/old/adds"]
    assert (sort.task.difficulty, sort.task.environment.memory, sort.task.interaction.max_seconds) == ("medium", "1G", 120)
    assert sort.task.environment.packages == ["pytest==8.4.1"]
    assert [(metric.name, metric.noise) for metric in sort.task.metrics] == [("reward", 0), ("checks", 0)]
    assert sort.instruction({}).startswith("Sort the names in /app/names.txt into /app/sorted.txt.\n\n/app is your working directory")
    assert adds.task.difficulty == "easy" and "add(a, b)" in adds.instruction({})


def test_tests_that_look_at_the_clock_may_not_say_the_same_twice(tmp_path: Path) -> None:
    task(tmp_path / "task", tests__test_outputs_dot_py="import time\nassert time.time() < 1e12\n")
    (found,) = harbor.tasks(Checkout(tmp_path / "task"))
    assert [metric.noise for metric in found.task.metrics] == [1, 1]


def test_one_task_folder_will_do(upstream: Path) -> None:
    (found,) = harbor.tasks(Checkout(upstream / "sort-names"))
    assert found.task.id == "harbor/sort-names"


@pytest.mark.parametrize(
    ("dockerfile", "why"),
    [
        ("FROM node:22\nWORKDIR /app\n", "it starts from node:22"),
        ("FROM python:3.8-slim\nWORKDIR /app\n", "it starts from python:3.8-slim"),
        ("FROM ubuntu:24.04 AS a\nFROM ubuntu:24.04\nWORKDIR /app\n", "it has several stages"),
        ("FROM ubuntu:24.04\nWORKDIR /root\n", "it works in /root"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nCOPY names.txt /data/\n", "it copies to /data/names.txt"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nCOPY --from=uv /uv /bin/\n", "it copies --from=uv /uv /bin/"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nCOPY nothing.txt .\n", "it copies nothing.txt, which is not there"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nRUN echo a#b && make all\n", "it runs echo a#b"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nRUN pip install -r requirements.txt\n", "it runs pip install -r requirements.txt"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nRUN apt-get update | make\n", "it runs apt-get update | make"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nRUN <<EOF\nmake\nEOF\n", "it runs <<EOF"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nENV PYTHONPATH=/app\n", "it sets PYTHONPATH"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nENTRYPOINT serve\n", "it uses ENTRYPOINT"),
        ("FROM ubuntu:24.04\nWORKDIR /app\nCOPY 'names.txt .\n", "it says COPY 'names.txt ."),
    ],
)
def test_an_image_that_holds_more_is_not_had_here(tmp_path: Path, dockerfile: str, why: str) -> None:
    task(tmp_path / "task", environment__Dockerfile=dockerfile)
    assert lacking(tmp_path / "task").startswith(f"image (its Dockerfile: {why}")


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("import requests", "its tests talk to servers or processes (requests)"),
        ("import pickle", "its tests use pickle, which could run submitted code among them"),
        ("import numpy as np\nnp.load('/app/a.npy', allow_pickle=True)", "its tests may evaluate what was submitted"),
        ("eval(open('/app/formula').read())", "its tests may evaluate what was submitted"),
        ("import theirs, sys\nfor case in theirs.cases():\n    eval(case)", "its tests may evaluate what was submitted"),
        ("from pathlib import Path\nPath.home()", "its tests look at the home folder"),
        ("import subprocess\nsubprocess.run(['python', 'a.py'], cwd='/tests')", "its tests run programs in their own folder"),
        ("import os\nos.system('cat a | gcc')", "its tests run gcc"),
        ("import os\ncommand = 'gcc a.c'\nos.system(command)\ncommand = 'ls'", "its tests run gcc"),
        ("open('/etc/nginx.conf')", "its tests look at /etc/nginx.conf"),
        ("import os\nassert os.path.exists('/app/.git')", "its tests look at a git repository, which is not handed in"),
        ("import os\nos.access('/app/run', os.X_OK)", "its tests look at modes, times or links, which are not handed in"),
        ("import subprocess\nsubprocess.run(['gcc', 'a.c'])", "its tests run gcc"),
        ("import subprocess\nsubprocess.run('cd /app && ./run', shell=True)", "its tests run ./run"),
        ("import os\nos.system(input())", "its tests run what cannot be told beforehand"),
        ("import sys, numpy\nsys.path.append('/app')\nimport theirs", "its tests load submitted code into their own process (theirs)"),
        ("import sys\nimport theirs.part", "its tests load submitted code into their own process (theirs)"),
        ("def broken(:", "test_outputs.py is not Python"),
    ],
)
def test_tests_that_could_say_something_else_here_are_not_run(tmp_path: Path, tests: str, why: str) -> None:
    script = TEST_SH.replace("-w pytest==8.4.1", "-w pytest==8.4.1 -w requests -w numpy")
    task(tmp_path / "task", tests__test_outputs_dot_py=f"{tests}\n", tests__test_dot_sh=script)
    assert lacking(tmp_path / "task").startswith(f"image ({why}")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tests__test_dot_sh": f"{TEST_SH}make all\n"}, "image (test.sh runs make all"),
        ({"tests__test_dot_sh": "apt-get install -y ffmpeg\npytest /tests/test_outputs.py"}, "image (test.sh installs ffmpeg"),
        ({"tests__test_dot_sh": "./check\n"}, "image (test.sh runs ./check"),
        (
            {"environment__docker-compose_dot_yaml": f"{COMPOSE}  db: {{image: postgres}}\n"},
            "image (its Dockerfile: it has the services db",
        ),
        ({"environment___dot_dockerignore": "*"}, "image (its Dockerfile: it has a .dockerignore"),
        ({"task_dot_toml": f'{TOML}mcp_servers = ["a"]\n'}, "image (it asks for environment.mcp_servers"),
        ({"instruction_dot_md": "Write /tmp/a."}, "image (its instruction speaks of /tmp"),
        ({"instruction_dot_md": "Download the names."}, "network (its instruction speaks of 'Download'"),
        ({"solution__solve_dot_sh": "apt-get install -y jq\n"}, "network (its solution installs jq"),
    ],
)
def test_a_task_that_asks_for_more_is_not_run(tmp_path: Path, changed: dict[str, str], why: str) -> None:
    task(tmp_path / "task", **changed)
    assert lacking(tmp_path / "task").startswith(why)


def test_functions_are_compared_in_upstreams_python_only(upstream: Path) -> None:
    other = "3.13" if PYTHON != "3.13" else "3.12"
    (upstream / "old" / "adds" / "Dockerfile").write_text(f"FROM python:{other}\nWORKDIR /app\n")
    said = lacking(upstream / "old" / "adds")
    assert said == f"image (its tests compare what submitted functions return in Python {other}, and this is {PYTHON})"


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("sort-names/task.toml", "version =", "sort-names/task.toml is not TOML"),
        ("sort-names/task.toml", "agent = 1", "agent is no table"),
        ("sort-names/task.toml", "[agent]\ntimeout_sec = 'long'", "'long' is no time in seconds"),
        ("old/adds/task.yaml", "instruction: [", "old/adds/task.yaml is not YAML"),
        ("old/adds/task.yaml", "difficulty: easy", "old/adds/task.yaml has no instruction"),
        ("old/adds/task.yaml", "- easy", "old/adds/task.yaml is no table"),
    ],
)
def test_a_malformed_task_is_an_error_that_names_it(upstream: Path, file: str, text: str, why: str) -> None:
    (upstream / file).write_text(text)
    report = suites.import_("harbor", upstream)
    ((name, error),) = report.malformed.items()
    assert len(report.found) == 5 and name == f"harbor/{file.rpartition('/')[0]}" and why in error.message
    with pytest.raises(TaskError, match=re.escape(why)):
        find(name)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sort-names/task.toml", '[environment]\ngpus = "many"\n'),
        ("sort-names/task.toml", "[environment]\nenv = 3\n[verifier]\ntimeout_sec = nan\n"),
        ("sort-names/instruction.md", b"\xff\xfe"),
        ("sort-names/task.toml", "x = " + "[" * 100_000),
        ("old/adds/task.yaml", "a: &a [*a]\ninstruction: {a: 1}"),
    ],
    ids=["value", "numbers", "bytes", "depth", "anchors"],
)
def test_whatever_one_folder_holds_the_others_are_imported(upstream: Path, file: str, text: str | bytes) -> None:
    (upstream / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    report = suites.import_("harbor", upstream)
    assert len(report.found) >= 5
    assert all(error.kind == "task" and file.rpartition("/")[0] in error.message for error in report.malformed.values())


def test_imports_of_one_kind_live_side_by_side_each_with_its_own_source(upstream: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    task(mine / "sort-names", task_dot_toml=TOML.replace("[metadata]", '[metadata]\nauthor_name = "Jo Doe"\nlicense = "MIT"'))
    subprocess.run(["git", "init", "-q", str(mine)], check=True)
    subprocess.run(["git", "-C", str(mine), "remote", "add", "origin", "https://me:secret@example.org/mine.git"], check=True)
    suites.import_("harbor", upstream)
    with pytest.raises(UsageError, match=r"imported from .*checkout already") as caught:
        suites.import_("harbor", mine)
    assert "--name" in caught.value.hint
    report = suites.import_("harbor", mine, "mine")
    assert [each.task.id for each in report.found] == ["mine/sort-names"]
    theirs, ours = find("harbor/sort-names"), find("mine/sort-names")
    assert (theirs.task.suite, ours.task.suite) == ("harbor", "mine")
    assert (ours.task.source, ours.task.licence) == ("example.org/mine; by Jo Doe", "MIT")
    assert theirs.task.source == "the folder checkout"
    assert published.published("mine") == []
    suites.import_("harbor", mine, replace=True)
    with pytest.raises(TaskError, match="no task is called"):
        find("harbor/doubles")


@pytest.mark.parametrize("name", ["", "a/b", "UPPER", "builtin", "mbpp", "refactoring", "../up"])
def test_a_name_that_is_taken_or_none_is_refused(upstream: Path, name: str) -> None:
    with pytest.raises(UsageError):
        suites.import_("harbor", upstream, name)
    assert suites.recorded() == {}


def test_counts_are_by_kind(upstream: Path) -> None:
    assert suites.import_("harbor", upstream).counts == {"image": 1, "network": 1, "gpu": 1}


def test_nobody_is_told_to_write_into_a_checkout(upstream: Path) -> None:
    (upstream / "sort-names" / "solution" / "solve.sh").unlink()
    suites.import_("harbor", upstream)
    with pytest.raises(TaskError) as caught:
        find("harbor/sort-names").reference()
    assert str(upstream) not in caught.value.hint + caught.value.message


def test_what_is_not_there_is_an_error(upstream: Path, tmp_path: Path) -> None:
    (upstream / "sort-names" / "instruction.md").unlink()
    with pytest.raises(TaskError, match=r"instruction\.md does not exist"):
        suites.import_("harbor", upstream / "sort-names")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match="holds no task of Harbor or Terminal-Bench"):
        harbor.tasks(Checkout(tmp_path / "empty"))


@pytest.mark.walls
async def test_solutions_solve_and_others_do_not(upstream: Path, solved: Solved) -> None:
    before = tree_hash(upstream)
    suites.import_("harbor", upstream)
    names = [f"harbor/{name}" for name in ("doubles", "old/adds", "sort-names")]
    assert await solved((name, "oracle") for name in names) == [True, True, True]
    assert await solved((name, "nop") for name in names) == [False, False, False]
    assert tree_hash(upstream) == before


@pytest.mark.walls
def test_a_part_of_the_tests_is_no_solution(upstream: Path) -> None:
    suites.import_("harbor", upstream)
    # by the folder's other name, as an agent may call it
    wrong = Scripted("wrong", ["open('/workspace/sorted.txt', 'w').write(open('/app/names.txt').read())"])
    assert values(wb.run("harbor/sort-names", model=wrong)) == {"reward": 0, "checks": 0.5}


FORGERIES = {
    "ends with success": "import os\nos._exit(0)",
    "kills the tests": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "reads the tests": "print(open('/tests/test_outputs.py').read())",
    "writes the tests": "open('/tests/test_outputs.py', 'w').write('def test(): pass')",
    "writes the reward": "open('/logs/verifier/reward.txt', 'w').write('1')",
    "looks into memory": "import os\nopen(f'/proc/{os.getppid()}/mem', 'r+b').write(b'0')",
}


@pytest.mark.walls
async def test_submitted_programs_can_do_nothing_about_the_verdict(upstream: Path, solved: Solved) -> None:
    suites.import_("harbor", upstream)
    # what each does is then tried in vain: else the answer would follow
    tried = "try:\n    {}\nexcept OSError:\n    raise SystemExit('in vain')\nprint(int(input()) * 2)\n"
    programs = {name: tried.format(code.replace("\n", "\n    ")) for name, code in FORGERIES.items()}
    models = [Scripted(name, [f"open('run.py', 'w').write({code!r})"]) for name, code in programs.items()]
    assert await solved(("harbor/doubles", model) for model in models) == [False] * len(models)


@pytest.mark.walls
async def test_functions_and_planted_files_can_do_nothing_about_the_verdict(upstream: Path, solved: Solved) -> None:
    suites.import_("harbor", upstream)
    equal = "class Yes(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\ndef add(a, b): return Yes()\n"
    patches = "import sys\nfor frame in sys._current_frames().values():\n    frame.f_globals.clear()\ndef add(a, b): return 0\n"
    ends = "import os\ndef add(a, b): os._exit(0)\n"
    planted = ["conftest.py", "sitecustomize.py", "json.py", "_pytest.py", "difflib.py", "usercustomize.py"]
    skips = "import os\nos._exit(0)\n"
    options = "[pytest]\\naddopts = --collect-only\\n"
    plants = f"for name in {planted!r}:\n    open(name, 'w').write({skips!r})\nopen('pytest.ini', 'w').write('{options}')"
    cells = [[f"open('solution.py', 'w').write({code!r})"] for code in (equal, patches, ends)]
    cells.append([plants, "open('solution.py', 'w').write('def add(a, b): return 0')"])
    models = [Scripted(str(number), each) for number, each in enumerate(cells)]
    assert await solved(("harbor/old/adds", model) for model in models) == [False] * len(models)


@pytest.mark.walls
def test_tests_that_take_too_long_are_not_passed(upstream: Path) -> None:
    folder = upstream / "doubles"
    (folder / "task.toml").write_text(TOML.replace("timeout_sec = 60.0", "timeout_sec = 3.0"))
    suites.import_("harbor", upstream)
    waits = Scripted("waits", ["open('run.py', 'w').write('import time\\ntime.sleep(1000)')"])
    assert values(wb.run("harbor/doubles", model=waits)) == {"reward": 0, "checks": 0}


@pytest.mark.walls
@pytest.mark.skipif(REAL not in os.environ, reason=f"REAL CHECKOUT: {REAL} names none")
async def test_a_real_checkout(solved: Solved) -> None:
    report = suites.import_("harbor", Path(os.environ[REAL]))
    # what looks at the clock may fail on a busy machine
    names = [
        each.task.id for each in report.found if each.solution() and not each.task.primary.noise and not availability.lacking(each.task)
    ]
    assert names
    assert await solved((name, "oracle") for name in names) == [True] * len(names)
    assert await solved((name, "nop") for name in names) == [False] * len(names)
