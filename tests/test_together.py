"""fit_together: scikit-learn's searches and ensembles, unmodified, with their fits trained as one stack."""

import contextvars
import faulthandler
import random
import signal
import sys
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
import torch
from models import PLAIN, QUICK, TINY, FailsInAnEpoch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvib.model_selection.grouping
from skvib import VIBClassifier, VIBRegressor, fit_together

pytestmark = pytest.mark.filterwarnings("ignore:The predictions are hardly better")  # of so few epochs

FAST = TINY | QUICK | PLAIN | {"max_iter": 20}
BETAS = [1e-3, 1e-2, 1e-1]


def pipeline(**changes):
    return make_pipeline(StandardScaler(), VIBClassifier(**FAST | changes))


def grid_search(**changes):
    grid = {"vibclassifier__beta": BETAS, "vibclassifier__latent_dim": [2, 3]}
    return GridSearchCV(pipeline(), grid, scoring="neg_log_loss", cv=3, **changes)


@pytest.fixture
def stacks(monkeypatch):
    """The sizes of the stacks that train."""
    sizes = []

    def counting(problems, settings, width):
        sizes.append(len(problems))
        return train(problems, settings, width)

    train = skvib.model_selection.grouping.train
    monkeypatch.setattr(skvib.model_selection.grouping, "train", counting)
    return sizes


def test_a_grid_search_is_one_training_and_chooses_the_same(iris, stacks):
    alone = grid_search().fit(*iris)
    with fit_together():
        together = grid_search(refit=False).fit(*iris)
    assert stacks == [18]
    assert together.best_params_ == alone.best_params_
    for split in range(3):
        name = f"split{split}_test_score"
        np.testing.assert_allclose(together.cv_results_[name], alone.cv_results_[name], atol=1e-5)


@pytest.mark.parametrize("n_jobs", [None, 1, 2, -1])
def test_joblib_knows_the_backend_by_its_name(iris, stacks, n_jobs):
    with joblib.parallel_config(backend="skvib", width=5):
        grid_search(refit=False, n_jobs=n_jobs).fit(*iris)
    assert stacks == [18]


def test_pre_dispatch_bounds_how_many_wait(iris, stacks):
    with fit_together():
        grid_search(refit=False, pre_dispatch=6).fit(*iris)
    assert stacks[0] == 6
    assert sum(stacks) == 18


MODELS = {
    "bagging": BaggingClassifier(VIBClassifier(**FAST), n_estimators=4, random_state=0),
    "calibration": CalibratedClassifierCV(pipeline(), cv=3),
    "halving": HalvingGridSearchCV(
        VIBClassifier(**FAST), {"beta": BETAS}, resource="max_iter", max_resources=20, factor=2, cv=3, random_state=0
    ),
    "one against the rest": OneVsRestClassifier(VIBClassifier(**FAST)),
    "randomized": RandomizedSearchCV(pipeline(), {"vibclassifier__beta": BETAS}, n_iter=2, cv=3, random_state=0),
    "stacking": StackingClassifier([("vib", pipeline()), ("knn", KNeighborsClassifier())], LogisticRegression(), cv=3),
    "voting": VotingClassifier([("a", pipeline()), ("b", pipeline(beta=0.1))], voting="soft"),
    "early stopping": GridSearchCV(pipeline(early_stopping=True), {"vibclassifier__beta": BETAS}, cv=3),
    "another model": GridSearchCV(
        make_pipeline(StandardScaler(), VIBClassifier(**FAST)),
        [
            {"vibclassifier__beta": BETAS},
            {"vibclassifier": [RandomForestClassifier(10, random_state=0)], "vibclassifier__max_depth": [2, 4]},
        ],
        cv=3,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_meta_estimator_gets_the_networks_that_it_would_get_alone(iris, stacks, name):
    alone = clone(MODELS[name]).fit(*iris)
    with fit_together():
        together = clone(MODELS[name]).fit(*iris)
    assert max(stacks) > 1
    np.testing.assert_allclose(together.predict_proba(iris[0]), alone.predict_proba(iris[0]), atol=1e-4)


def test_several_outputs_train_together(iris, stacks):
    Y = np.c_[iris[1], (iris[1] + 1) % 3]
    with fit_together():
        MultiOutputClassifier(VIBClassifier(**FAST)).fit(iris[0], Y)
    assert stacks == [2]


def test_functions_of_model_selection_train_together(iris, stacks):
    with fit_together():
        cross_validate(pipeline(), *iris, cv=4)
        cross_val_predict(pipeline(), *iris, cv=5)
        learning_curve(pipeline(), *iris, cv=3, train_sizes=[0.5, 1.0], shuffle=True)
    assert stacks[:2] == [4, 5]
    assert sum(stacks[2:]) == 6


def test_nested_cross_validation_trains_all_its_searches_together(iris, stacks):
    with fit_together():
        together = cross_validate(grid_search(), *iris, cv=3, scoring="neg_log_loss")["test_score"]
    assert stacks == [54, 3]
    alone = cross_validate(grid_search(), *iris, cv=3, scoring="neg_log_loss")["test_score"]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_problems_that_cannot_share_a_stack_train_in_several(iris):
    grid = {"hidden_layer_sizes": [(4,), (8, 8)], "alpha": [0.0, 1e-2], "batch_size": [16, 64]}
    with fit_together():
        together = GridSearchCV(VIBClassifier(**FAST), grid, cv=3).fit(*iris)
    alone = GridSearchCV(VIBClassifier(**FAST), grid, cv=3).fit(*iris)
    np.testing.assert_allclose(together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


class FailsWithoutWarning(TransformerMixin, BaseEstimator):
    """A transformer that fails when it is told to."""

    def __init__(self, fails=False):
        self.fails = fails

    def fit(self, X, y=None):
        if self.fails:
            raise ValueError("this candidate cannot be fitted")
        return self

    def transform(self, X):
        return X


def test_a_candidate_that_fails_leaves_the_others_alone(iris):
    model = make_pipeline(FailsWithoutWarning(), VIBClassifier(**FAST))
    grid = {"failswithoutwarning__fails": [False, True], "vibclassifier__beta": BETAS}
    search = GridSearchCV(model, grid, cv=3)
    with warnings.catch_warnings(record=True) as caught, fit_together():
        warnings.simplefilter("always")
        search.fit(*iris)
    assert [w.category for w in caught] == [FitFailedWarning, UserWarning]
    assert np.isnan(search.cv_results_["mean_test_score"]).sum() == 3
    with fit_together(), pytest.raises(ValueError, match="cannot be fitted"):
        clone(search).set_params(error_score="raise").fit(*iris)
    assert not task_threads()


class Breaks(torch.nn.Module):
    """A module that breaks in training only."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x):
        if len(x) > 2:
            raise RuntimeError("out of luck")
        return self.linear(x)


def test_a_network_that_fails_in_training_fails_alone(iris):
    grid = {"encoder": [torch.nn.Linear(4, 4), Breaks()]}
    search = GridSearchCV(VIBClassifier(**FAST | {"max_iter": 2}), grid, cv=3, refit=False)
    with fit_together(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(*iris)
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]


def test_callbacks_see_every_fit(iris, capsys):
    pytest.importorskip("sklearn.callback")
    from sklearn.callback import ProgressBar

    search = grid_search().set_callbacks(ProgressBar(max_propagation_depth=None))
    with fit_together():
        search.fit(*iris)
    assert "VIBClassifier" in capsys.readouterr().out


def test_warnings_stay_where_they_were(iris):
    before = warnings.filters[:]
    with warnings.catch_warnings(record=True) as caught, fit_together():
        warnings.simplefilter("always")
        cross_validate(pipeline(learning_rate="constant"), *iris, cv=3)
    assert [w.category for w in caught] == [ConvergenceWarning] * 3
    assert warnings.filters == before
    with warnings.catch_warnings(), fit_together():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            cross_validate(pipeline(learning_rate="constant"), *iris, cv=3, error_score="raise")
    assert warnings.filters == before


def test_threads_and_global_generators_are_left_alone(iris):
    n_threads, torch_state, numpy_state = torch.get_num_threads(), torch.get_rng_state(), np.random.get_state()
    with fit_together():
        grid_search().fit(*iris)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])
    assert not task_threads()


def test_without_a_seed_a_search_draws_as_if_one_after_the_other(iris):
    scores = []
    for context in (fit_together(), warnings.catch_warnings()):
        np.random.seed(0)
        with context:
            scores.append(cross_validate(pipeline(random_state=None), *iris, cv=4)["test_score"])
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_equal_rows_of_different_tasks_are_stored_once(iris, monkeypatch):
    stored = []

    def watching(problems, settings, width):
        stored.extend(problem.rows.inputs.data_ptr() for problem in problems)
        return train(problems, settings, width)

    train = skvib.model_selection.grouping.train
    monkeypatch.setattr(skvib.model_selection.grouping, "train", watching)
    with fit_together():
        grid_search(refit=False).fit(*iris)
    assert len(stored) == 18
    assert len(set(stored)) == 3


def test_a_fit_of_its_own_is_not_held_back(iris, stacks):
    with fit_together():
        together = VIBClassifier(**FAST).fit(*iris)
    alone = VIBClassifier(**FAST).fit(*iris)
    assert not stacks
    assert np.array_equal(together.predict_proba(iris[0]), alone.predict_proba(iris[0]))


def test_generators_of_joblib_work():
    def fit(seed):
        return VIBClassifier(**FAST | {"random_state": seed}).fit(*load_iris(return_X_y=True)).loss_

    expected = [fit(seed) for seed in range(3)]
    for return_as in ("list", "generator", "generator_unordered"):
        with fit_together():
            results = joblib.Parallel(return_as=return_as)(joblib.delayed(fit)(seed) for seed in range(3))
        assert sorted(results) == pytest.approx(sorted(expected), abs=1e-5)


def test_two_generators_may_be_open_at_once():
    def fit(seed):
        return VIBClassifier(**FAST | {"random_state": seed}).fit(*load_iris(return_X_y=True)).n_iter_

    with fit_together():
        first, second = (
            joblib.Parallel(return_as="generator")(joblib.delayed(fit)(seed) for seed in range(2)) for _ in range(2)
        )
        assert list(first) == list(second) == [20, 20]


def test_late_tasks_start_like_the_first(iris):
    mood = contextvars.ContextVar("mood", default="unknown")

    def report(number):
        VIBClassifier(**FAST | {"max_iter": 1}).fit(*iris)
        return mood.get()

    token = mood.set("calm")
    with fit_together():
        assert joblib.Parallel(pre_dispatch=1)(joblib.delayed(report)(n) for n in range(3)) == ["calm"] * 3
    mood.reset(token)


def test_a_task_that_fits_while_it_is_unwound_is_not_trained(iris):
    def fail():
        VIBClassifier(**FAST | {"max_iter": 1}).fit(*iris)
        raise LookupError

    def fit_twice():
        try:
            VIBClassifier(**FAST | {"max_iter": 1, "latent_dim": 1}).fit(*iris)
            joblib.Parallel()(joblib.delayed(fail)() for _ in range(2))
            VIBClassifier(**FAST).fit(*iris)
        finally:
            VIBClassifier(**FAST).fit(*iris)

    def nested():
        try:
            joblib.Parallel()([joblib.delayed(fit_twice)(), joblib.delayed(fail)()])
        except LookupError:
            return VIBClassifier(**FAST).fit(*iris).n_iter_

    with fit_together():
        assert joblib.Parallel()(joblib.delayed(nested)() for _ in range(2)) == [20, 20]
    assert not task_threads()


def test_an_iterable_that_fails_late_raises(iris):
    def jobs():
        yield joblib.delayed(VIBClassifier(**FAST | {"max_iter": 1}).fit)(*iris)
        raise GeneratorExit("no more")

    with fit_together(), pytest.raises((GeneratorExit, RuntimeError)):
        joblib.Parallel(pre_dispatch=1)(jobs())
    assert not task_threads()


def test_no_thread_to_start_is_said(iris, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with fit_together(), pytest.raises(RuntimeError, match="pre_dispatch"):
        grid_search().fit(*iris)


def test_a_callback_that_fails_fails_its_own_fit(iris):
    pytest.importorskip("sklearn.callback")
    watched = VIBClassifier(**FAST).set_callbacks(FailsInAnEpoch())
    with pytest.raises(LookupError, match="broken callback"):
        watched.fit(*iris)
    models = [watched, VIBClassifier(**FAST), VIBClassifier(**FAST | {"beta": 0.1})]

    def fit(model):
        try:
            return (
                clone(model).set_params(**model.get_params()).fit(*iris) if model is not watched else model.fit(*iris)
            )
        except Exception as error:
            return error

    with fit_together():
        results = joblib.Parallel()(joblib.delayed(fit)(model) for model in models)
    assert isinstance(results[0], LookupError)
    assert [model.n_iter_ for model in results[1:]] == [20, 20]


def test_a_thread_that_a_task_starts_trains_by_itself(iris):
    def fit_in_a_thread():
        model = VIBClassifier(**FAST)
        thread = threading.Thread(target=model.fit, args=iris)
        thread.start()
        thread.join()
        return model.loss_

    with fit_together():
        losses = joblib.Parallel()(joblib.delayed(fit_in_a_thread)() for _ in range(2))
    assert losses[0] == losses[1] == VIBClassifier(**FAST).fit(*iris).loss_


@pytest.mark.parametrize(("arguments", "match"), [({"width": 0}, "width"), ({"method": "fast"}, "method must be")])
def test_arguments_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match), fit_together(**arguments):
        pass


# Amortized


def test_fits_that_differ_in_beta_alone_share_a_network(iris, stacks):
    betas = [0.0, 1e-4, 1e-3, 1e-2]
    grid = {"beta": betas, "latent_dim": [2, 3]}
    with fit_together(method="amortized"):
        search = GridSearchCV(VIBClassifier(**FAST), grid, cv=3).fit(*iris)
    assert stacks == [12]  # 3 folds and 2 sizes: each a path, and a beta of 0
    assert search.best_score_ > 0.85


@pytest.mark.parametrize("seed", [None, 0])
def test_grouping_ignores_seeds_that_nobody_chose(iris, stacks, seed):
    with fit_together(method="amortized"):
        GridSearchCV(VIBClassifier(**FAST | {"random_state": seed}), {"beta": BETAS}, cv=3, refit=False).fit(*iris)
    assert stacks == [3]


def test_other_seeds_and_weights_are_other_groups(iris, stacks):
    def fit(beta, seed, weight):
        model = VIBClassifier(**FAST | {"beta": beta, "random_state": seed})
        return model.fit(*iris, sample_weight=np.where(iris[1] == 0, weight, 1.0))

    jobs = [(beta, seed, weight) for beta in BETAS for seed, weight in ((0, 1.0), (1, 1.0), (0, 2.0))]
    with fit_together(method="amortized"):
        joblib.Parallel()(joblib.delayed(fit)(*job) for job in jobs)
    assert stacks == [3]


def test_equal_modules_share_a_network_and_others_do_not(iris, stacks):
    modules = [torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)]
    grid = {"encoder": modules, "beta": BETAS}
    with fit_together(method="amortized"):
        GridSearchCV(VIBClassifier(**FAST), grid, cv=2, refit=False).fit(*iris)
    assert stacks == [4]


def test_frozen_and_trainable_modules_train_apart(iris):
    frozen = torch.nn.Linear(4, 3).requires_grad_(False)
    search = GridSearchCV(VIBClassifier(**FAST), {"encoder": [torch.nn.Linear(4, 3), frozen]}, cv=2, refit=False)
    with fit_together():
        together = clone(search).fit(*iris).cv_results_["mean_test_score"]
    np.testing.assert_allclose(together, clone(search).fit(*iris).cv_results_["mean_test_score"])


def test_lone_problems_train_exactly(iris):
    with fit_together(method="amortized"):
        together = cross_validate(pipeline(), *iris, cv=3, return_estimator=True)["estimator"]
    alone = cross_validate(pipeline(), *iris, cv=3, return_estimator=True)["estimator"]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.predict_proba(iris[0]), other.predict_proba(iris[0]), atol=1e-5)


def test_a_group_stops_as_one_when_no_beta_improves(iris):
    def fit(beta):
        model = VIBClassifier(
            **FAST | {"beta": beta, "early_stopping": True, "n_iter_no_change": 10, "max_iter": 200, "tol": 1e-3}
        )
        return model.fit(*iris)

    with fit_together(method="amortized"):
        models = joblib.Parallel()(joblib.delayed(fit)(beta) for beta in BETAS)
    assert len({model.n_iter_ for model in models}) == 1
    assert models[0].n_iter_ < 200
    scores = np.mean([model.validation_scores_ for model in models], axis=0)
    held_out = [model.best_validation_score_ for model in models]
    assert max(scores) > -0.5
    assert np.mean(held_out) >= max(scores) - 1e-9


def test_a_shared_network_can_go_on_as_a_plain_one(diabetes):
    def fit(beta):
        return VIBRegressor(**FAST | {"beta": beta, "warm_start": True}).fit(*diabetes)

    with fit_together(method="amortized"):
        model = joblib.Parallel()(joblib.delayed(fit)(beta) for beta in BETAS)[0]
    before = model.distortion_
    assert model.fit(*diabetes).distortion_ < before


# No deadlock


def task_threads():
    """Threads of tasks that do not come to their end by themselves.

    Python lists a thread for good, "initial", if an interrupt falls into its `start` before there is one.
    """
    for _ in range(500):
        threads = [thread for thread in threading.enumerate() if thread.name == "skvib-task" and thread.is_alive()]
        if not threads:
            break
        time.sleep(0.01)
    return threads


SMALL = {"hidden_layer_sizes": (2,), "latent_dim": 1, "max_iter": 2, "random_state": 0}
X_SMALL = np.random.default_rng(0).normal(size=(24, 2))


def grow(rng, depth=0):
    """A random tree of work: fits, failures, plain tasks, and calls of joblib that hold more of them."""
    kind = rng.choices(["fit", "plain", "call", "guarded", "failure"], [5, 1, 4 if depth < 3 else 0, 1, 0.3])[0]
    if kind in ("call", "guarded") and depth < 3:
        return kind, [grow(rng, depth + 1) for _ in range(rng.randrange(5))]
    return kind, rng.choice(BETAS)


def work(tree):
    kind, content = tree
    if kind == "fit":
        return VIBClassifier(**SMALL | {"beta": content}).fit(X_SMALL, X_SMALL[:, 0] > 0).predict_proba(X_SMALL)[0, 0]
    if kind == "plain":
        return content
    if kind == "failure":
        raise LookupError(content)
    if kind == "guarded" and isinstance(content, list):
        try:
            return work(("call", content))
        except LookupError:
            return None
    if isinstance(content, list):
        return joblib.Parallel()(joblib.delayed(work)(branch) for branch in content)
    return content


def outcome(tree):
    try:
        return work(tree)
    except LookupError:
        return LookupError


def flat(results):
    return [x for part in results for x in flat(part)] if isinstance(results, list) else [results]


def has_failure(tree):
    return tree[0] == "failure" or (isinstance(tree[1], list) and any(map(has_failure, tree[1])))


def interrupt(signum, frame):
    """Raise KeyboardInterrupt; a little later if coverage runs, which would never release the lock that it holds."""
    if frame.f_globals["__name__"].startswith("coverage."):
        signal.setitimer(signal.ITIMER_REAL, 1e-3)
    else:
        raise KeyboardInterrupt


# an interrupt that falls into a weak reference's callback is dropped by Python, which says so
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_nesting_failure_or_interrupt_locks_anything():
    filters, rng = warnings.filters[:], random.Random(0)
    handler = signal.signal(signal.SIGALRM, interrupt)
    faulthandler.dump_traceback_later(300, exit=True)
    n_interrupted = n_failed = n_exact = 0
    try:
        for number in range(200):
            tree = ("call", [grow(rng) for _ in range(rng.randrange(1, 6))])
            method, width = rng.choice(["exact", "amortized"]), rng.randrange(1, 9)
            is_interrupted = number % 3 == 0
            try:
                with warnings.catch_warnings(), fit_together(width=width, method=method):
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    if is_interrupted:
                        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 0.06))
                    result = outcome(tree)
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                n_interrupted += 1
                result = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert not task_threads()
            assert warnings.filters == filters
            if is_interrupted:
                continue
            n_failed += result is LookupError
            if not has_failure(tree):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    expected = flat(outcome(tree))
                assert len(flat(result)) == len(expected)
                if method == "exact":
                    assert flat(result) == pytest.approx(expected, abs=1e-5)
                    n_exact += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        faulthandler.cancel_dump_traceback_later()
    assert min(n_interrupted, n_failed, n_exact) > 10


def interrupted_at(number):
    """A trace function for one KeyboardInterrupt, at this line of those that hand over the turn."""

    def trace(frame, event, argument):
        nonlocal number
        if frame.f_globals["__name__"] != "skvib.model_selection.together":
            return None
        if event == "line":
            number -= 1
            if number < 0:
                raise KeyboardInterrupt
        return trace

    return trace


def test_an_interrupt_at_any_line_locks_nothing():
    fit = ("fit", BETAS[0])
    tree = ("call", [fit, ("call", [fit, ("plain", 0)])])
    tracer, number, is_interrupted = sys.gettrace(), 0, True
    faulthandler.dump_traceback_later(300, exit=True)
    try:
        while is_interrupted:
            is_interrupted = False
            with fit_together():
                sys.settrace(interrupted_at(number))
                try:
                    work(tree)
                except KeyboardInterrupt:
                    is_interrupted = True
                finally:
                    sys.settrace(tracer)
            assert not task_threads()
            number += 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert number > 100
