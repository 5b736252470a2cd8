"""The command line's contract: documents, exit codes, errors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.commands import workbench
from tests.made import make_task

CONTRACT = {
    *("run_id", "task", "variant", "agent", "model", "sandbox", "status", "error", "success"),
    *("score", "steps", "tokens", "cost_usd", "seconds"),
}


@pytest.fixture
def task(tmp_path, minimal):
    return make_task(tmp_path)


@pytest.mark.walls
def test_run_prints_one_json_document(task, store_path):
    done = workbench("run", task, "--model", "oracle", "--json", "--store", store_path)
    document = json.loads(done.stdout)
    assert done.returncode == 0 and set(document) >= CONTRACT
    assert document["success"] is True and document["score"] == {"metric": "correct", "value": 1.0, "normalised": 1.0}


@pytest.mark.walls
def test_a_failed_task_is_still_exit_code_0(task, store_path):
    done = workbench("run", task, "--model", "nop", "--json", "--store", store_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["status"], document["success"]) == (0, "completed", False)


@pytest.mark.walls
def test_a_run_that_could_not_be_completed_is_exit_code_1(task, store_path):
    done = workbench("run", task, "--model", "function:tests.cli.broken:reply", "--store", store_path)
    assert done.returncode == 1 and "model: the function tests.cli.broken:reply" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "refactoring/nope", "--model", "nop"], "no task is called"),
        (["run", "refactoring/mistune-rename-escap", "--model", "nop"], "did you mean refactoring/mistune-rename-escape?"),
        (["run", "refactoring/mistune-rename-escape"], "--model oracle needs no model at all"),
        (["run", "refactoring/mistune-rename-escape", "--model", "nop", "--variant", "level"], "has no '='"),
        (["run", "refactoring/mistune-rename-escape", "--model", "nop", "--variant", "level=easy"], "one of: base, lazy, descriptive"),
        (["run", "refactoring/mistune-rename-escape", "--model", "nop", "--max-steps", "0"], "must be more than 0"),
        (
            ["run", "refactoring/mistune-rename-escape", "--model", "openai/m", "--model-option", "temprature=0"],
            "did you mean 'temperature'?",
        ),
        (["run", "refactoring/mistune-rename-escape", "--model", "openai/m", "--model-option", "timeout=-1"], "must be greater than 0"),
        (["run", "refactoring/mistune-rename-escape", "--model", "oracle", "--model-option", "timeout=9"], "takes no model options"),
        (["run", "refactoring/mistune-rename-escape", "--model", "nop", "--timeout", "inf"], "must be finite"),
        (["run", "refactoring/mistune-rename-escape", "--model", "nop", "--epoch", "2147483648"], "must be at most 2147483647"),
        (
            ["run", "refactoring/mistune-rename-escape", "--model", "nop", "--store", "/no/such/folder/x.duckdb"],
            "its folder does not exist",
        ),
        (["environments", "build", "python-xl"], "no environment is called"),
        (["environments", "build", "python-xs"], "did you mean python-ds?"),
        (["environments", "build", "python-min", "--backend", "podman"], "there are: local, docker, e2b"),
        (["environments", "lock", "python-xl"], "no environment is called"),
        (["runs", "show", "2001"], "no run in"),
        (["runs", "branch", "2001", "--at", "1"], "no run in"),
        (["runs", "branch", "2001"], "Missing option '--at'"),
        (["frobnicate"], "No such command"),
    ],
)
def test_bad_usage_is_exit_code_2_and_says_what_to_do(arguments, says):
    done = workbench(*arguments)
    assert done.returncode == 2
    assert says in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def test_bad_usage_under_json_is_one_document_too():
    done = workbench("run", "refactoring/nope", "--model", "nop", "--json")
    assert json.loads(done.stdout)["error"]["kind"] == "task" and done.returncode == 2


@pytest.mark.walls
def test_runs_are_listed_and_shown(task, store_path):
    run_id = json.loads(workbench("run", task, "--model", "oracle", "--json", "--store", store_path).stdout)["run_id"]
    listed = json.loads(workbench("runs", "list", "--json", "--store", store_path).stdout)
    assert [row["run_id"] for row in listed] == [run_id] and listed[0]["success"]
    record = json.loads(workbench("runs", "show", run_id, "--json", "--store", store_path).stdout)
    assert record["actions"][0]["observation"]["status"] == "ok" and len(record["model_calls"]) == 2
    shown = workbench("runs", "show", run_id[:-2], "--store", store_path)
    assert "open('answer.txt', 'w').write('42')" in shown.stdout and "correct = 1.0" in shown.stdout
    table = workbench("runs", "list", "--store", store_path)
    assert run_id in table.stdout


@pytest.mark.walls
def test_a_run_branches_and_names_its_parent(task, store_path):
    run = json.loads(workbench("run", task, "--model", "function:tests.cli.steps:unsteady", "--json", "--store", store_path).stdout)
    there = ("--task", task, "--store", store_path)
    done = workbench("runs", "branch", run["run_id"][:-2], "--at", 1, "--model", "oracle", "--json", *there)
    document = json.loads(done.stdout)
    assert done.returncode == 0 and set(document) >= CONTRACT
    assert (document["success"], document["parent_run"], document["parent_step"]) == (True, run["run_id"], 1)
    assert (document["branched_by"], document["diverged_steps"], document["steps"]) == ("replay", [1], 2)
    assert "step 1: inherited" in done.stderr and "1 showed something else" in done.stderr and "branched by replay" in done.stderr

    listed = json.loads(workbench("runs", "list", "--json", "--store", store_path).stdout)
    assert [(row["parent_run"], row["parent_step"]) for row in listed] == [(run["run_id"], 1), (None, None)]
    assert f"{run['run_id']} at 1" in workbench("runs", "list", "--store", store_path).stdout
    shown = workbench("runs", "show", document["run_id"], "--store", store_path).stdout
    assert f"branch of {run['run_id']} at step 1, by replay" in shown
    assert "step 1, inherited" in shown and "step 2, inherited" not in shown and "showed something else than is shown here: 1" in shown
    person = workbench("runs", "branch", run["run_id"], "--at", 1, "--instruction", "Go on.", "--model", "nop", *there).stdout
    assert f"branch of {run['run_id']} at step 1, steps that showed something else: 1" in person

    refused = workbench("runs", "branch", run["run_id"], "--at", 7, "--json", *there)
    assert refused.returncode == 2 and "has no step 7" in json.loads(refused.stdout)["error"]["message"]
    gone = workbench("runs", "branch", run["run_id"], "--at", 1, "--store", store_path)
    assert gone.returncode == 2 and "--task FOLDER" in " ".join(gone.stderr.split())


@pytest.mark.walls
def test_a_new_task_is_written_checked_and_found_sound(tmp_path, store_path):
    folder = workbench("tasks", "new", "data-science/mine", "--in", tmp_path).stdout.splitlines()[0]
    again = workbench("tasks", "new", "data-science/mine", "--in", tmp_path)
    assert again.returncode == 2 and "exists" in again.stderr
    assert workbench("tasks", "new", "data-science/Mine", "--in", tmp_path).returncode == 2
    checked = workbench("tasks", "check", folder, "--store", store_path)
    assert checked.returncode == 0 and "1 of 1 tasks are sound" in checked.stdout
    (tmp_path / "data-science/mine/instruction.md").write_text("Do it.")
    unsound = workbench("tasks", "check", folder, "--store", store_path, "--json")
    (found,) = json.loads(unsound.stdout)
    assert (unsound.returncode, found["ok"]) == (1, False)
    assert [finding["name"] for finding in found["findings"] if not finding["ok"]] == ["instructions"]


def test_the_schema_of_the_task_file_is_json_schema():
    schema = json.loads(workbench("tasks", "schema").stdout)
    assert {"schema", "id", "metric", "difficulty"} <= set(schema["properties"]) and schema["additionalProperties"] is False


def test_a_benchmark_is_imported_from_a_checkout(tmp_path):
    for level in ("base", "lazy", "descriptive"):
        mapping = tmp_path / "scripts" / f"{level}_mapping.py"
        mapping.parent.mkdir(exist_ok=True)
        mapping.write_text("file_mapping = {}")
    there = {"WORKBENCH_SUITES": str(tmp_path / "suites.json")}
    report = json.loads(workbench("tasks", "import", "refactorbench", tmp_path, "--json", **there).stdout)
    assert (report["suite"], report["found"], report["runnable"], report["unavailable"]) == ("refactorbench", 0, 0, {})
    assert "0 tasks found" in workbench("tasks", "import", "refactorbench", tmp_path, **there).stdout
    unknown = workbench("tasks", "import", "nothing", tmp_path, **there)
    assert unknown.returncode == 2 and "there are importers for" in " ".join(unknown.stderr.split())


def test_tasks_are_listed_and_shown():
    listed = json.loads(workbench("tasks", "list", "--json").stdout)
    assert {task["family"] for task in listed} == {"ml-experimentation", "data-science", "refactoring"}
    refactorings = json.loads(workbench("tasks", "list", "--family", "refactoring", "--json").stdout)
    assert {task["family"] for task in refactorings} == {"refactoring"} and len(refactorings) < len(listed)
    lazy = json.loads(workbench("tasks", "show", "refactoring/mistune-rename-escape", "--variant", "level=lazy", "--json").stdout)
    base = json.loads(workbench("tasks", "show", "refactoring/mistune-rename-escape", "--json").stdout)
    assert len(lazy["instruction"]) < len(base["instruction"])
    assert "baseline" in workbench("tasks", "show", "ml-experimentation/diabetes-progression").stdout


@pytest.mark.walls
def test_the_doctor_tries_the_walls(minimal):
    done = workbench("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["protection"] in ("bubblewrap", "sandlock")
    assert found["attempts"] and all(attempt["refused"] for attempt in found["attempts"])
    assert "refused" in workbench("doctor").stdout


def test_the_doctor_refuses_where_there_is_no_wall(monkeypatch):
    from workbench.kernels import walls

    walls.protection.cache_clear()
    monkeypatch.setattr(walls.sys, "platform", "darwin")
    try:
        given = walls.protection()
    finally:
        walls.protection.cache_clear()
    assert given.kind == "none" and "Docker" in given.remedy


@pytest.mark.parametrize(("stream", "code"), [(">/dev/full", 1), ("2>/dev/full", 0), (">/dev/full 2>&1", 1)])
def test_a_result_that_cannot_be_written_is_told_and_progress_that_cannot_changes_nothing(stream, code):
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m workbench tasks list {stream}"], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr == ("error: standard output cannot be written: No space left on device\n" if stream == ">/dev/full" else "")


def test_bad_usage_stays_bad_usage_where_nobody_can_be_told():
    command = f"{sys.executable} -m workbench tasks show nothing/of-this-name 2>/dev/full"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 2


@pytest.mark.parametrize("arguments", [("run", "--json"), ("nonsense", "--json"), ("runs", "list", "--last", "0", "--json")])
def test_options_that_are_not_understood_are_one_document_too(arguments):
    done = workbench(*arguments)
    assert done.returncode == 2 and "Usage:" in done.stderr
    assert json.loads(done.stdout)["error"]["kind"] == "user"


def test_help_and_version():
    assert "run" in workbench("--help").stdout
    assert workbench("--version").stdout.strip()


@pytest.mark.walls
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_the_record_and_is_exit_code_130(task, store_path, number):
    command = [sys.executable, "-m", "workbench", "run", str(task), "--model", "function:tests.e2e.endless:act_for_ever", "--json"]
    process = subprocess.Popen([*command, "--store", str(store_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # the model's reply is told just before its action runs, and the action never ends by itself
    for line in process.stderr:
        if line.startswith("step 1"):
            break
    process.send_signal(number)
    output, _ = process.communicate()
    document = json.loads(output)
    assert (process.returncode, document["status"]) == (130, "interrupted")
    listed = json.loads(workbench("runs", "list", "--json", "--store", store_path).stdout)
    assert listed[0]["status"] == "interrupted"


@pytest.mark.walls
def test_the_demo_comes_out_as_it_should(ds, minimal, store_path):
    done = workbench("demo", "--store", store_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every step is in" in done.stdout and str(store_path) in done.stdout
    solved = json.loads(workbench("runs", "list", "--json", "--store", store_path).stdout)
    assert len(solved) == 6 and all(run["success"] is (run["model"] == "oracle") for run in solved)


def test_a_task_that_needs_what_is_not_here_is_unavailable_and_never_scored(tmp_path, store_path):
    folder = make_task(tmp_path / "tasks")
    toml = folder / "task.toml"
    toml.write_text(toml.read_text().replace("[interaction]", '[prepare]\nneeds = ["kaggle", "gpu"]\n\n[interaction]'))
    listed = workbench("tasks", "list", WORKBENCH_TASKS=str(tmp_path / "tasks"))
    assert "unavailable: kaggle, gpu" in listed.stdout
    done = workbench("run", folder, "--model", "oracle", "--store", store_path)
    assert done.returncode == 2 and "unavailable here: it needs kaggle, gpu" in " ".join(done.stderr.split())
    assert not store_path.exists()


def test_an_imported_suite_is_a_line_of_the_list_until_it_is_asked_for(tmp_path):
    problem = {"task_id": 1, "text": "Add.", "code": "def add(a, b):\n    return a + b", "test_list": ["assert add(1, 2) == 3"]}
    (tmp_path / "mbpp.jsonl").write_text(json.dumps({**problem, "test_setup_code": "", "challenge_test_list": []}))
    assert workbench("tasks", "import", "mbpp", tmp_path / "mbpp.jsonl").returncode == 0
    everything = workbench("tasks", "list").stdout
    assert "mbpp: 1 tasks, 1 of them runnable here" in everything and "mbpp/prompt-1" not in everything
    asked = workbench("tasks", "list", "--suite", "mbpp").stdout
    assert "mbpp/prompt-1" in asked and "refactoring/" not in asked
    nobodys = workbench("tasks", "list", "--suite", "mine")
    assert nobodys.returncode == 2 and "there are: builtin, mbpp" in " ".join(nobodys.stderr.split())


def test_a_task_that_was_changed_since_its_suite_was_imported_is_marked(tmp_path):
    problem = {"text": "Add.", "code": "def add(a, b):\n    return a + b", "test_setup_code": "", "challenge_test_list": []}
    rows = [{**problem, "task_id": number, "test_list": [f"assert add({number}, 2) == {number + 2}"]} for number in (1, 2)]
    path = tmp_path / "mbpp.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert workbench("tasks", "import", "mbpp", path).returncode == 0
    assert "changed" not in workbench("tasks", "list").stdout
    path.write_text("\n".join(map(json.dumps, [{**rows[0], "test_list": ["assert True"]}, rows[1]])))
    said = "its files were changed since it was imported"
    assert f"1 changed (mbpp/prompt-1): {said}" in workbench("tasks", "list").stdout
    found = {task["id"]: task["changed"] for task in json.loads(workbench("tasks", "list", "--suite", "mbpp", "--json").stdout)}
    assert found == {"mbpp/prompt-1": [said], "mbpp/prompt-2": []}
    assert said in workbench("tasks", "show", "mbpp/prompt-1", COLUMNS="200").stdout
    assert json.loads(workbench("tasks", "show", "mbpp/prompt-1", "--json").stdout)["changed"] == [said]


def test_published_figures_stand_beside_ones_own_runs(store_path):
    shown = workbench("tasks", "published", "mbpp", "--store", store_path, COLUMNS="200").stdout
    assert "arXiv 2108.07732" in shown and "you have no graded run of mbpp" in shown and "Not directly comparable" in shown
    found = json.loads(workbench("tasks", "published", "mbpp", "--store", store_path, "--json").stdout)
    assert (found["suite"], found["tasks"], found["own"]) == ("mbpp", None, []) and found["published"][0]["source"]
    assert workbench("tasks", "published", "nothing").returncode == 2


def test_nothing_judged_has_no_agreement(store_path):
    assert "nothing was judged more than once" in workbench("runs", "agreement", "--store", store_path).stdout
    assert json.loads(workbench("runs", "agreement", "--store", store_path, "--json").stdout) == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-", "| true", "2>&1 | true"])
def test_a_closed_stream_changes_no_exit_code(closed):
    command = f"set -o pipefail; {sys.executable} -m workbench tasks list {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.walls
@pytest.mark.parametrize("closed", [">&-", "2>&-", "2>&1 | head -1"])
def test_a_run_goes_on_where_nobody_reads_what_it_tells(task, store_path, closed):
    command = f"set -o pipefail; {sys.executable} -m workbench run {task} --model oracle --store {store_path} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    listed = json.loads(workbench("runs", "list", "--json", "--store", store_path).stdout)
    assert [(run["status"], run["success"]) for run in listed] == [("completed", True)]
