"""BoxingGym, from a checkout made here that looks like it; and from a real one where it is named."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.importers.conftest import Solved, complain, grader_of
from workbench import runner
from workbench.errors import TaskError
from workbench.messages import Message
from workbench.models.scripted import Scripted
from workbench.tasks import find, suites
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import boxinggym

REAL = "WORKBENCH_TEST_BOXINGGYM"
pytestmark = pytest.mark.walls

PROGRAM = """
import boxing_gym.envs.spring_balance as spring_balance
import boxing_gym.envs.coin as coin
import boxing_gym.envs.chat as chat

raise SystemExit("nobody is to run this here")
nametoenv = {
    "spring": spring_balance.Spring,
    "coin": coin.Coin,
    "chat": chat.Chat,
}
nameenvtogoal = {
    ("spring", "direct"): spring_balance.Direct,
    ("spring", "direct_discovery"): spring_balance.Naive,
    ("spring", "stiffness"): spring_balance.Stiffness,
    ("coin", "direct"): coin.Direct,
    ("chat", "direct"): chat.Direct,
}
"""
SPRING = """
import numpy as np
import pymc as pm

class Direct:
    def __init__(self, env):
        self.env, self.eval_points, self.eval_pointer = env, [], 0
        self.norm_mu, self.norm_sigma = 2.0, 4.0

    def get_system_message(self, include_prior):
        return "Hang weights on a spring." if include_prior else "Give a number."

    def get_goal_eval_question(self, include_prior):
        if self.eval_pointer + 1 > len(self.eval_points):
            x = np.random.uniform(1, 9)
            self.eval_points.append((x, self.env.step(x)))
        x, y = self.eval_points[self.eval_pointer]
        self.eval_pointer += 1
        return f"How long with {x} newtons?" if include_prior else f"What for {x}?", y

    def evaluate_predictions(self, predictions, measurements):
        errors = np.abs(np.array([eval(each) for each in predictions]) - np.array(measurements))
        return errors.mean(), errors.std()

class Naive(Direct):
    def get_comm_prompt(self, include_prior, com_limit):
        return f"Tell a novice in {com_limit} words."

    def get_naive_system_message(self, include_prior):
        return "You are told of a spring: " if include_prior else "You are told of numbers: "

class Stiffness(Direct):
    def get_system_message(self, include_prior):
        if not include_prior:
            raise ValueError("not without the prior")
        return "Hang weights on a spring and find out its stiffness."

    def get_goal_eval_question(self, include_prior):
        assert include_prior
        return "How stiff is it?", self.env.stiffness

class Spring:
    def __init__(self, length):
        self.length = length
        self.reset()

    def reset(self):
        self.stiffness = float(np.exp(pm.draw(pm.Normal.dist())))

    def step(self, x):
        return self.length + x / self.stiffness

    def validate_input(self, text):
        try:
            return float(text)
        except ValueError:
            return "a number, please"

    def run_experiment(self, text):
        print("seen", text)
        return np.float64(self.step(self.validate_input(text))), True
"""
COIN = """
import numpy as np

class Direct:
    def __init__(self, env):
        self.env, self.eval_points, self.eval_pointer = env, [], 0
        env.restricted_pair = [(2,)]

    def get_system_message(self, include_prior):
        return "Which coins lie heads up?"

    def get_goal_eval_question(self, include_prior):
        if self.eval_pointer + 1 > len(self.eval_points):
            self.eval_points.append((self.eval_pointer, self.eval_pointer % 2))
        coin, heads = self.eval_points[self.eval_pointer]
        self.eval_pointer += 1
        return f"Coin {coin}?", heads

    def evaluate_predictions(self, predictions, measurements):
        right = [("1" in each) == bool(heads) for each, heads in zip(predictions, measurements)]
        return np.mean(right), np.std(right)

class Coin:
    def validate_input(self, text):
        return (int(text),)

    def run_experiment(self, text):
        return ("not that one", False) if self.validate_input(text) in self.restricted_pair else (int(text) % 2, True)
"""


def config(environment: str, goal: str, evaluations: int, parameters: str = "{}") -> str:
    return f"env_name: {environment}\ngoal_name: {goal}\nnum_evals: {evaluations}\ncom_limit: 5\nenv_params: {parameters}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    files = {
        "run_experiment.py": PROGRAM,
        "conf/exp/oed.yaml": "num_experiments: [0, 2, 3]",
        "conf/exp/discovery.yaml": "num_experiments: [2]",
        "conf/envs/spring_direct.yaml": config("spring", "direct", 4, "{length: 7.5}"),
        "conf/envs/spring_direct_discovery.yaml": config("spring", "direct_discovery", 4, "{length: 7.5}"),
        "conf/envs/spring_stiffness.yaml": config("spring", "stiffness", 1, "{length: 7.5}"),
        "conf/envs/spring_broken.yaml": config("spring", "direct", 4, "{weight: 7.5}"),
        "conf/envs/coin_direct.yaml": config("coin", "direct", 10),
        "conf/envs/chat_direct.yaml": config("chat", "direct", 10),
        "conf/envs/lost_direct.yaml": config("lost", "direct", 10),
        "src/boxing_gym/__init__.py": "",
        "src/boxing_gym/envs/__init__.py": "",
        "src/boxing_gym/envs/spring_balance.py": SPRING,
        "src/boxing_gym/envs/coin.py": COIN,
        "src/boxing_gym/envs/chat.py": "import openai\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


RUNNABLE = ["coin_direct", "spring_direct", "spring_direct_discovery", "spring_stiffness"]


def test_tasks_are_found_without_running_upstream_here_and_gold_is_best(checkout: Path, store_path: Path) -> None:
    before = tree_hash(checkout)
    report = suites.import_("boxinggym", checkout)
    assert [found.task.id for found in report.found if found.task.metrics] == [f"boxinggym/{name}" for name in RUNNABLE]
    assert (len(report.found), report.runnable, report.variants) == (7, 4, 2 + 2 + 2 + 1 + 3)
    network, broken, files = sorted(report.unavailable, key=lambda reason: ("files" in reason, "knows no" in reason))
    assert report.unavailable[network] == ["boxinggym/chat_direct"] and network.startswith("network (a language model")
    assert report.unavailable[broken] == ["boxinggym/spring_broken"] and "unexpected keyword argument 'weight'" in broken
    assert report.unavailable[files] == ["boxinggym/lost_direct"] and "knows no environment lost" in files
    assert not any(name.startswith("boxing_gym") for name in sys.modules)
    for name, best in zip(RUNNABLE, (1, 0, 0, 0), strict=True):
        result = runner.run(f"boxinggym/{name}", model="oracle", store=store_path)
        assert (result.error, result.success) == (None, True)
        assert result.score is not None and (result.score.value, result.score.normalised) == (best, 1)
    assert tree_hash(checkout) == before


def test_wrong_answers_are_wrong_and_none_is_ever_run(checkout: Path, store_path: Path) -> None:
    suites.import_("boxinggym", checkout)
    # right answers come in an order upstream, which is not the order of the questions
    assert find("boxinggym/coin_direct").solution_answer() != "[0, 1, 0, 1, 0, 1, 0, 1, 0, 1]"
    for name, answer, reason in [
        ("coin_direct", "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", None),
        ("spring_stiffness", "[1000]", None),
        ("spring_direct", "[1, 2, 3, '__import__(\"os\").getpid()']", "element 3 of the answer must be a number"),
    ]:
        result = runner.run(f"boxinggym/{name}", model=Scripted("wrong", [], answer), store=store_path)
        assert (result.error, result.success, result.invalid) == (None, False, reason)


OBSERVE = """```python
for weight in ["heavy", "nan", "heavier", 2, "4"]:
    try:
        length = observe(weight)
    except Exception as error:
        print(error)
```"""
EXPLAIN = """```python
for text in (None, "six words are more than five", f"Grows by {(length - 7.5) / 2}"):
    try:
        print(questions() if text is None else explain(text))
    except Exception as error:
        print(error)
asked = questions()
print(asked)
print("ANSWER", [7.5 + each["input"][0] * (length - 7.5) / 2 for each in asked])
```"""


def test_an_episode_ends_with_the_questions_and_can_be_solved_by_looking(checkout: Path, store_path: Path) -> None:
    suites.import_("boxinggym", checkout)
    heard: list[str] = []

    def model(messages: list[Message]) -> str:
        heard.append(messages[-1].text)
        if len(heard) < 3:
            return (OBSERVE, EXPLAIN)[len(heard) - 1]
        return f"<answer>{heard[-1].split('ANSWER')[1].strip().splitlines()[0]}</answer>"

    replies = ["I cannot say", "<answer>much</answer>"]

    def novice(messages: list[Message]) -> str:
        (said,) = (message.text for message in messages)
        assert "You are told of numbers: Grows by" in said and "What for" in said and "which is a number" in said
        if replies:
            return replies.pop()
        (slope,), (weight,) = re.findall(r"Grows by (\S+)", said), re.findall(r"asked about: \[(.*)\]", said)
        return f"Not <answer>7</answer> but\n<answer>{8.5 + float(weight) * float(slope)}</answer>"

    result = runner.run("boxinggym/spring_direct_discovery", model=model, judge=novice, variant={"prior": "false"}, store=store_path)
    assert (result.error, result.success, replies) == (None, True, [])
    assert {metric.metric: metric.value for metric in result.metrics} == pytest.approx(
        {"error": 0, "normalised_error": -0.5, "novice_error": 1}, abs=1e-9
    )
    assert "Give a number." in heard[0] and "Tell a novice in 5 words." in heard[0] and "You have 2 observations" in heard[0]
    assert "a number, please" in heard[1] and "must be finite numbers" in heard[1]
    assert "a number, please (refused 3 times: this counts as an observation, 1 are left)" in heard[1]
    assert "all observations have been made" in heard[1]
    assert "explain what you have found first" in heard[2] and "6 words, more than 5" in heard[2]
    assert "You are told of numbers: Grows by" in heard[2] and "What for" in heard[2] and "newtons" not in heard[2]


def test_a_novice_who_is_told_nothing_answers_all_the_same(checkout: Path, store_path: Path) -> None:
    suites.import_("boxinggym", checkout)
    result = runner.run("boxinggym/spring_direct_discovery", model="oracle", judge=lambda _: "<answer>0</answer>", store=store_path)
    assert (result.error, result.success) == (None, True)
    (told,) = (metric.value for metric in result.metrics if metric.metric == "novice_error")
    assert told is not None and told > 7


def test_after_the_questions_nothing_is_observed_and_withheld_pairs_stay_withheld(checkout: Path, store_path: Path) -> None:
    suites.import_("boxinggym", checkout)
    heard: list[str] = []
    asking = """```python
for ask in (lambda: observe(2), lambda: observe(-1), lambda: observe([3]), lambda: observe(3), lambda: questions(), lambda: observe(4)):
    try:
        print(ask())
    except Exception as error:
        print(error)
```"""

    def model(messages: list[Message]) -> str:
        heard.append(messages[-1].text)
        return asking if len(heard) == 1 else "<answer>[]</answer>"

    runner.run("boxinggym/coin_direct", model=model, store=store_path)
    for said in ("not that one", "must not be negative", "this counts as an observation, 2 are left", "\n1\n", "Coin 7?"):
        assert said in heard[1]
    assert "the questions have been asked" in heard[1]


def test_what_is_no_checkout_says_so(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="does not exist"):
        suites.import_("boxinggym", tmp_path)
    broken = checkout / "conf" / "envs" / "coin_direct.yaml"
    for text in ("env_name: [", "env_name: coin", config("coin", "direct", 10).replace("10", "many")):
        broken.write_text(text)
        with pytest.raises(TaskError, match="is no configuration of BoxingGym"):
            complain(boxinggym, checkout)
    broken.unlink()
    (checkout / "conf" / "exp" / "oed.yaml").write_text("num_experiments: []")
    with pytest.raises(TaskError, match="must be whole numbers"):
        suites.import_("boxinggym", checkout)
    (checkout / "run_experiment.py").write_text("")
    with pytest.raises(TaskError, match="does not say which classes"):
        suites.import_("boxinggym", checkout)


@pytest.fixture(scope="module")
def grader() -> ModuleType:
    return grader_of("boxinggym")


@given(
    st.text() | st.recursive(st.floats() | st.integers() | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=3)).map(str)
)
def test_whatever_is_answered_is_numbers_of_the_right_shape_or_invalid(grader: ModuleType, said: str) -> None:
    for truth in ([1.5, 2], [[1, 2], [3, 4]], [0, 1]):
        try:
            found = grader.answers(said, truth)
        except grader.Invalid:
            continue
        assert len(found) == len(truth) and all(grader.is_like(*pair, truth) for pair in zip(found, truth, strict=True))


@pytest.mark.parametrize(
    "said",
    [
        "it depends",
        "[1]",
        "[1, 2, 3]",
        "[1, [2]]",
        "[1, True]",
        "[1, None]",
        "[1, 1e999]",
        "[1, 2j]",
        "[1, id(2)]",
        "[1, '2 + 2']",
        "[" * 9999,
    ],
)
def test_what_is_no_answer_is_invalid(grader: ModuleType, said: str) -> None:
    with pytest.raises(grader.Invalid):
        grader.answers(said, [1.5, 2])


def test_what_is_asked_for_as_0_or_1_is_0_or_1(grader: ModuleType) -> None:
    assert grader.answers("[1, 0]", [0, 1]) == [1, 0]
    with pytest.raises(grader.Invalid, match="element 1 of the answer must be 0 or 1"):
        grader.answers("[1, 0.1]", [0, 1])


def test_numbers_may_be_written_as_texts(grader: ModuleType) -> None:
    assert grader.answers("```['[1, 2]', (3, 4.5)]```", [[1, 2], [3, 4]]) == [[1, 2], (3, 4.5)]


@pytest.mark.skipif(REAL not in os.environ, reason=f"NOT RUN on a real checkout of BoxingGym: name one in {REAL}")
async def test_a_real_checkout(solved: Solved) -> None:
    report = suites.import_("boxinggym", Path(os.environ[REAL]))
    runnable = [found.task.id for found in report.found if found.task.metrics]
    assert (len(report.found), len(runnable), report.runnable) == (25, 19, 19)
    assert await solved((name, "oracle") for name in runnable) == [True] * 19
    assert await solved((name, Scripted("wrong", [], f"[{', '.join('0' * 10)}]")) for name in runnable) == [False] * 19
