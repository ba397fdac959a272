"""Problems that share a training: what equality means follows from the fields."""

from dataclasses import fields, replace

import pytest
import torch

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor
from skvib.model_selection.grouping import train_together
from skvib.nn.network import Architecture
from skvib.nn.problem import SCHEDULES, Problem, Settings
from skvib.nn.ramps import Edges
from skvib.nn.rows import Rows


def make_rows(seed, n=40):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    return Rows(x, torch.ones(n), {"y": (x[:, 0] > 0).long()}, {})


def linear(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Linear(4, 4)


ROWS = make_rows(0)
PROBLEM = Problem(ROWS, (1e-2,), 2, seed=0, n_steps=2, validation=make_rows(1), encoder=linear(0))
SETTINGS = Settings(
    architecture=Architecture(4, (4,), (), "relu", "categorical", 2),
    max_iter=1,
    learning_rate_init=1e-2,
    schedule=SCHEDULES["constant"],
    ema_decay=0.0,
    n_train_draws=1,
    n_predict_draws=4,
    stop_on=None,
    tol=1e-4,
    n_iter_no_change=5,
    device="cpu",
)


class Watching:
    def begin_epoch(self):
        pass

    def end_epoch(self, history, weights):
        return False


OTHER_PROBLEMS = {
    "rows": make_rows(2),
    "latent_dim": 3,
    "seed": 1,
    "n_steps": 3,
    "penalty": 0.5,
    "input_square": 0.1,
    "invariance": 1.0,
    "any_seed": True,
    "member": 1,
    "validation": make_rows(3),
    "edges": Edges((1,), torch.zeros(1, 2), torch.ones(1, 2)),
    "encoder": linear(1),
    "monitors": (Watching(),),
    "n_evaluated": 2,
}
OTHER_SETTINGS = {
    "architecture": replace(SETTINGS.architecture, activation="tanh"),
    "max_iter": 2,
    "learning_rate_init": 2e-2,
    "schedule": SCHEDULES["cosine"],
    "ema_decay": 0.5,
    "n_train_draws": 2,
    "n_predict_draws": 8,
    "stop_on": "loss",
    "tol": 1e-3,
    "n_iter_no_change": 6,
    "device": "meta",
    "product_dtype": torch.bfloat16,
    "silences": True,
}


@pytest.fixture
def trained(monkeypatch):
    """What is handed to the trainer: (problem, settings) pairs."""
    asked = []

    def record(problems, settings, width):
        asked.extend((problem, settings) for problem in problems)
        return [None for _ in problems]

    monkeypatch.setattr("skvib.model_selection.grouping.train", record)
    return asked


def test_every_field_of_a_problem_and_of_the_settings_is_compared():
    # one of many betas, and one that goes on, always train alone
    assert {f.name for f in fields(Problem)} - {"betas", "start"} == set(OTHER_PROBLEMS)
    assert {f.name for f in fields(Settings)} == set(OTHER_SETTINGS)


def test_problems_that_differ_in_beta_alone_are_one(trained):
    train_together(
        [("amortized", 64, [PROBLEM], SETTINGS), ("amortized", 64, [replace(PROBLEM, betas=(1.0,))], SETTINGS)]
    )
    assert [problem.betas for problem, _ in trained] == [(1e-2, 1.0)]


@pytest.mark.parametrize("any_seed", [False, True])
def test_equal_problems_are_one_if_their_seed_was_chosen(any_seed, trained):
    problem = replace(PROBLEM, any_seed=any_seed)
    answers = train_together([("amortized", 64, [problem], SETTINGS) for _ in range(2)])
    assert len(trained) == 1 + any_seed
    assert all(len(answer) == 1 for answer in answers)


@pytest.mark.parametrize("name", OTHER_PROBLEMS)
def test_problems_that_differ_in_one_field_are_never_merged(name, trained):
    other = replace(PROBLEM, **{name: OTHER_PROBLEMS[name]})
    for beta in (1e-2, 1.0):
        trained.clear()
        requests = [(PROBLEM, SETTINGS), (replace(other, betas=(beta,)), SETTINGS)]
        train_together([("amortized", 64, [problem], settings) for problem, settings in requests])
        assert len(trained) == 2


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_problems_whose_settings_differ_in_one_field_are_never_merged(name, trained):
    other = replace(SETTINGS, **{name: OTHER_SETTINGS[name]})
    requests = [(PROBLEM, SETTINGS), (replace(PROBLEM, betas=(1.0,)), other)]
    train_together([("amortized", 64, [problem], settings) for problem, settings in requests])
    assert len(trained) == 2


def test_a_problem_is_frozen():
    with pytest.raises(AttributeError):
        PROBLEM.penalty = 1.0


def test_a_field_that_says_nothing_of_stacks_is_shared_by_their_networks():
    shared = [f.name for f in fields(Problem) if "in_common" not in f.metadata]
    assert shared == ["n_steps", "n_evaluated"]


@pytest.mark.filterwarnings("ignore:No candidate predicts much better")  # of so few epochs
@pytest.mark.parametrize(
    ("name", "values"),
    [("alpha", [0.0, 1000.0]), ("latent_dim", [1, 3]), ("learning_rate_init", [1e-2, 1e-6]), ("batch_size", [8, 150])],
)
@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
def test_an_amortized_search_tells_other_parameters_apart(estimator_class, name, values, iris):
    model = estimator_class(hidden_layer_sizes=(16,), latent_dim=3, max_iter=20, random_state=0)
    X, y = iris
    y = y if estimator_class is VIBClassifier else X[:, 0]
    search = BetaSearchCV(model, {name: values, "beta": [0.01, 0.1]}, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"].reshape(len(values), 2)
    assert (scores[0] != scores[1]).all()
