"""Rows without a target: `missing_label` in fits, searches, paths, streams and scores."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from models import SMALL, asked, weights_of
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_blobs, make_friedman1, make_gaussian_quantiles
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_objective import distortion_of, make_batch, make_network

from skvib import (
    BetaSearchCV,
    VIBClassifier,
    VIBRegressor,
    base,
    beta_path,
    fit_together,
    mutual_information,
)
from skvib.guesses import GUESS
from skvib.nn import trainer
from skvib.nn.heads import GuessingHead
from skvib.nn.network import Architecture
from skvib.nn.objective import loss_terms
from skvib.nn.posteriors import Code
from skvib.nn.problem import Problem, penalty_of
from skvib.nn.rows import GUESSED, TARGET

FAST = SMALL | {"max_iter": 10}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class ReadsX(KFold):
    """A splitter that reads X."""

    def split(self, X, y=None, groups=None):
        assert X.shape == (len(y), 4)
        return super().split(X, y, groups)


class Guessing(Architecture):
    guesses = True

    def heads(self, *given):
        object.__setattr__(self, "guesses", True)
        return super().heads(*given)


@pytest.fixture(scope="module")
def digits():
    """Rows, labels of which five of each class are kept, the labels, and rows to test on."""
    X, y = load_digits(return_X_y=True)
    X, y, X_test, y_test = X[:1200], y[:1200], X[1200:], y[1200:]
    some = np.full(len(y), -1)
    for label in range(10):
        some[np.flatnonzero(y == label)[:5]] = label
    return X, some, y, X_test, y_test


def halves(seed=0):
    X, y = load_iris(return_X_y=True)
    return X, np.where(np.random.default_rng(seed).random(len(y)) < 0.5, -1, y)


def test_rows_without_a_label_make_predictions_better(digits):
    X, some, _, X_test, y_test = digits
    model = VIBClassifier(missing_label=-1, random_state=0).fit(X, some)
    alone = VIBClassifier(random_state=0).fit(X[some >= 0], some[some >= 0])
    ours, theirs = (log_loss(y_test, m.predict_proba(X_test)) for m in (model, alone))
    assert ours < 0.8 * theirs
    assert model.score(X_test, y_test) > alone.score(X_test, y_test) + 0.02
    assert model.classes_.tolist() == list(range(10))


@pytest.mark.parametrize("n_draws", [1, 2])
@pytest.mark.parametrize("prior", ["normal", "mixture", "class"])
def test_gradients_of_the_guess_agree_with_autograd(prior, n_draws):
    network, _ = make_network(latent_dims=(3, 3), prior=prior, kind=Guessing)
    head = network.heads[TARGET]
    assert isinstance(head, GuessingHead)
    batch, beta = make_batch(network, n_draws=n_draws), torch.tensor([[0.1], [0.4]], dtype=torch.float64)
    known = torch.arange(batch.rows.weights.shape[1]) % 3 == 0
    rows = batch.rows._replace(shares={TARGET: batch.rows.weights * known, GUESSED: 0.5 * batch.rows.weights})
    batch = batch._replace(rows=rows)
    for network_index in range(2):
        head.start(network_index, rows.map(lambda part, m=network_index: part[m]), TARGET)
    posterior = network(rows.inputs)
    code = Code(posterior, batch.noise, posterior.sample(batch.noise))
    z = code.z.flatten(1, 2)
    distortion = distortion_of(head, z, rows.targets[TARGET])
    p = torch.softmax(head.decoder(z), -1)
    weights = (rows.weights / rows.weights.sum(1, keepdim=True) / n_draws).repeat(1, n_draws)
    mean = (weights[..., None] * p).sum(1)
    differ = (weights * (1.0 - (p * p).sum(-1))).sum(1)
    guess = differ + (mean * (mean / head.shares).log()).sum(-1)
    share = 1.0 - beta if prior == "class" else 1.0
    (paid, *_), _ = network.prior.record(code, rows)
    loss = ((share * rows.shares[TARGET] * distortion + beta * rows.weights * paid) / batch.n_rows).sum()
    loss = loss + 0.5 * guess.sum()
    if prior == "class":  # its weights learn the shares of the labels beside
        log_weights = network.prior.components().log_weights.gather(1, rows.targets[TARGET])
        loss = loss - (beta * rows.weights * known * log_weights / batch.n_rows).sum()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    with torch.no_grad():
        loss_terms(network, batch, beta)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-11)


def test_a_guess_is_nothing_where_all_rows_have_a_label():
    X, y = load_iris(return_X_y=True)
    plain, asking = (VIBClassifier(**FAST, missing_label=label).fit(X, y) for label in (None, -1))
    np.testing.assert_array_equal(weights_of(plain), weights_of(asking))


@pytest.mark.parametrize(
    ("missing", "make"),
    [
        (-1, lambda y: y),
        (np.nan, lambda y: np.where(y < 0, np.nan, y)),
        ("none", lambda y: np.array(["a", "b", "c", "none"])[y]),
        (np.nan, lambda y: pd.Series(np.array(["a", "b", "c", None], dtype=object)[y])),
        (np.nan, lambda y: pd.Series(np.where(y < 0, 0, y)).astype("Int64").mask(y < 0)),
        (np.nan, lambda y: [None if label < 0 else "abc"[label] for label in y]),
    ],
    ids=["-1", "nan", "string", "objects", "Int64", "list"],
)
def test_any_value_says_that_a_label_is_missing(missing, make):
    X, some = halves()
    models = [VIBClassifier(**FAST, missing_label=m).fit(X, y) for m, y in ((-1, some), (missing, make(some)))]
    np.testing.assert_array_equal(*map(weights_of, models))
    assert len(models[1].classes_) == 3
    assert models[1].score(X, make(some)) == models[0].score(X, some)
    again = pickle.loads(pickle.dumps(clone(models[1]).fit(X, make(some))))
    np.testing.assert_array_equal(again.predict(X), models[1].predict(X))


def test_minus_one_is_a_label_unless_said():
    X, some = halves()
    assert VIBClassifier(**FAST).fit(X, some).classes_.tolist() == [-1, 0, 1, 2]
    with pytest.raises(ValueError, match="NaN"):
        VIBClassifier(**FAST).fit(X, np.where(some < 0, np.nan, some))


def test_the_order_of_rows_and_copies_mean_nothing_here_either():
    X, some = halves()
    order = np.random.default_rng(0).permutation(len(X))
    model = VIBClassifier(**FAST, missing_label=-1)
    first = weights_of(clone(model).fit(X, some))
    np.testing.assert_array_equal(first, weights_of(clone(model).fit(X[order], some[order])))
    weighted = clone(model).fit(X, some, np.full(len(X), 2.0))
    twice = clone(model).fit(np.tile(X, (2, 1)), np.tile(some, 2))
    np.testing.assert_array_equal(weights_of(weighted), weights_of(twice))
    dense, stored = (clone(model).fit(make(X), some) for make in (np.asarray, sparse.csr_array))
    np.testing.assert_allclose(dense.predict_proba(X), stored.predict_proba(X), atol=1e-3)


def test_labels_are_held_out_where_guesses_are_not_sure_or_few_rows_lack_one():
    X, y = load_digits(return_X_y=True)
    model = VIBClassifier(missing_label=-1, max_iter=10, random_state=0)
    noise = np.random.default_rng(0).integers(10, size=len(y))
    some_wrong = np.where(np.random.default_rng(1).random(len(y)) < 0.1, noise, y)
    for labels, n_labels, is_held_out in (
        (y, 200, False),
        (some_wrong, 199, False),
        (some_wrong, 200, True),
        (noise, 150, True),
        (noise, 99, False),
        (y, len(y) - 1, True),
    ):
        some = np.where(np.arange(len(y)) < n_labels, labels, -1)
        with asked() as problems:
            model.fit(X, some)
        assert (problems[-1].validation is not None) == is_held_out
    assert not problems[-1].validation.shares
    with asked() as problems:  # a single label that is missing changes nothing
        clone(model).fit(X[:150], np.where(np.arange(150) < 149, y[:150], -1))
    assert problems[-1].validation is not None
    with asked() as problems:
        clone(model).set_params(early_stopping=True).fit(X, np.where(np.arange(len(y)) < 200, y, -1))
    assert len(problems[-1].validation.weights) == 20


def test_labelled_rows_fill_half_of_a_batch_and_count_as_before(digits):
    X, some, _, _, _ = digits
    with asked() as problems:
        VIBClassifier(**FAST | {"max_iter": 1}, missing_label=-1).fit(X, some)
    *_, problem = problems
    known = problem.rows.shares[TARGET] > 0
    assert known.float().mean() == pytest.approx(0.5, abs=0.02)
    assert problem.rows.weights.mean() == pytest.approx(1.0)
    assert problem.rows.weights[known].sum() / problem.rows.weights.sum() == pytest.approx(0.25)
    assert problem.rows.shares[TARGET].mean() == pytest.approx(1.0)
    assert len(problem.rows.inputs.whole) == 1200  # stored once


@pytest.fixture
def made(monkeypatch):
    """The problems that fits make, those of folds, too."""
    problems = []

    def make(**parts):
        problems.append(Problem(**parts))
        return problems[-1]

    monkeypatch.setattr(base, "Problem", make)
    return problems


def with_others(problems):
    """Of fits, not of what asks before them what a guess is worth."""
    return [problem for problem in problems if problem.rows.shares]


def test_searches_score_labelled_rows_and_train_on_all_others(made):
    X, some = halves()
    model, n_known = VIBClassifier(**FAST, missing_label=-1), int(np.sum(some >= 0))
    search = BetaSearchCV(model, {"beta": [1e-3, 1e-1]}, method="exact", cv=3).fit(X, some)
    assert np.isfinite(search.best_score_)
    assert len(with_others(made)) == 7
    for problem in with_others(made):
        assert int(torch.sum(problem.rows.shares[TARGET] == 0)) == len(X) - n_known
    assert search.best_estimator_.classes_.tolist() == [0, 1, 2]
    BetaSearchCV(model, cv=GroupKFold(3)).fit(X, some, groups=np.arange(len(X)) % 5)
    pipeline = make_pipeline(StandardScaler(), model)
    assert np.isfinite(BetaSearchCV(pipeline, cv=3).fit(X, some).best_score_)
    folds = np.where(some < 0, -1, np.arange(len(some)) % 3)
    given = BetaSearchCV(model, {"beta": [1e-3]}, cv=PredefinedSplit(folds)).fit(X, some)
    assert np.isfinite(given.best_score_)


@pytest.mark.parametrize("cv", [RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0), ReadsX()])
def test_any_splitter_sees_the_labelled_rows_alone(cv, made):
    X, some = halves()
    search = BetaSearchCV(VIBClassifier(**FAST, missing_label=-1), {"beta": [1e-3]}, method="exact", cv=cv)
    search.fit(X, some)
    assert len(with_others(made)) == cv.get_n_splits() + 1
    for problem in with_others(made):
        assert int(torch.sum(problem.rows.shares[TARGET] == 0)) == np.sum(some < 0)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_splits_of_all_rows_are_masks_or_numbers_from_either_end():
    X, some = halves()
    model, numbers = VIBClassifier(**FAST, missing_label=-1), np.arange(len(X))
    is_test = numbers % 3 == 0
    scores = []
    for train, test in ((~is_test, is_test), (numbers[~is_test], numbers[is_test] - len(X))):
        search = BetaSearchCV(model, {"beta": [1e-3]}, cv=[(train, test)]).fit(X, some)
        scores.append(search.best_score_)
    assert scores[0] == scores[1]
    unlabelled = np.flatnonzero(some < 0)[:9]
    with pytest.raises(ValueError, match="No row that split 0 of `cv` tests on has a target"):
        BetaSearchCV(model, cv=[(np.setdiff1d(numbers, unlabelled), unlabelled)]).fit(X, some)


def test_searches_and_measures_are_of_rows_that_have_a_target():
    X, some = halves()
    known = some >= 0
    search = BetaSearchCV(VIBClassifier(**FAST, missing_label=-1), {"beta": [1e-3]}, cv=3).fit(X, some)
    weights = np.linspace(1.0, 2.0, len(X))
    assert search.score(X, some) == search.score(X[known], some[known])
    of_all, of_known = (
        mutual_information(search.best_estimator_, X[rows], some[rows], sample_weight=weights[rows], random_state=0)
        for rows in (slice(None), known)
    )
    assert of_all == of_known
    regressor = VIBRegressor(**FAST, missing_label=-999).fit(X, np.where(known, X[:, 0], -999))
    of_all, of_known = (
        mutual_information(regressor, X[rows], np.where(known, X[:, 0], -999)[rows], random_state=0)
        for rows in (slice(None), known)
    )
    assert of_all == of_known
    with pytest.raises(ValueError, match="have no log-likelihood"):
        regressor.log_likelihood_latent(regressor.transform(X), np.where(known, X[:, 0], -999))


def test_rows_without_a_label_and_a_weight_are_no_rows():
    X, some = halves()
    known = some >= 0
    model = VIBClassifier(**FAST, missing_label=-1)
    weighted, dropped = clone(model).fit(X, some, known.astype(float)), clone(model).fit(X[known], some[known])
    np.testing.assert_array_equal(weights_of(weighted), weights_of(dropped))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, "<U3"])
def test_classes_keep_their_type(dtype):
    X, some = halves()
    y = np.where(some < 0, 9, some).astype(dtype)
    model = VIBClassifier(**FAST, missing_label=y.dtype.type(9)).fit(X, y)
    assert model.classes_.dtype == y.dtype
    assert len(model.classes_) == 3


def test_pieces_of_a_stream_have_labels_and_the_moments_of_all_their_rows():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0.0, 1.0, (100, 2)), rng.normal(4.0, 1.0, (100, 2))]
    y = np.where(np.arange(200) % 4 == 0, X[:, 0], np.nan)
    stream = VIBRegressor(**FAST, missing_label=np.nan)
    for piece in (slice(0, 100), slice(100, 200)):
        stream.partial_fit(X[piece], y[piece])
    np.testing.assert_allclose(stream._x_mean, X.mean(axis=0), rtol=1e-5)
    with pytest.raises(ValueError, match="No row of y has a target.*Each call needs some"):
        stream.partial_fit(X, np.full(200, np.nan))
    with pytest.raises(ValueError, match="`classes` holds missing_label=-1"):
        VIBClassifier(missing_label=-1).partial_fit(X, np.where(np.arange(200) < 9, 1, -1), classes=[-1, 0, 1])


def test_a_guess_counts_by_what_labelled_rows_say_of_each_other():
    X, some = halves()
    noise = np.where(some < 0, -1, np.random.default_rng(0).integers(3, size=len(some)))
    n_known, n_others = int(np.sum(some >= 0)), int(np.sum(some < 0))
    model = VIBClassifier(missing_label=-1, early_stopping=False, max_iter=50, random_state=0)
    for y, low, high in ((some, 0.6, 1.0), (noise, 0.0, 0.05)):
        with asked() as problems:
            fit = clone(model).fit(X, y)
        assert low <= fit._trust <= high
        *_, problem = problems
        assert len(problems) == 6
        n_rows = n_known + fit._trust**5 * n_others
        assert problem.penalty == pytest.approx(penalty_of(3.0, n_rows, n_alternatives=3), rel=0.02)
        guessed = problem.rows.shares[GUESSED]
        torch.testing.assert_close(guessed, GUESS * fit._trust * problem.rows.weights)
    with asked() as problems:
        VIBRegressor(**FAST, missing_label=-1, alpha=3.0, early_stopping=False).fit(X, some)
        clone(model).partial_fit(X, some, classes=[0, 1, 2])
    assert len(problems) == 2
    assert problems[0].penalty == pytest.approx(penalty_of(3.0, n_known), rel=0.02)
    assert not problems[1].rows.shares[GUESSED].any()


@pytest.mark.parametrize("n_labels", [40, 200])
def test_rows_without_a_label_do_no_harm_where_classes_overlap(n_labels):
    rng, losses = np.random.default_rng(0), []
    for seed in range(3):
        X = rng.normal(size=(2800, 10))
        y = (X @ np.linspace(-1.0, 1.0, 10) + rng.logistic(size=len(X)) > 0).astype(int)
        some = np.where(np.arange(800) < n_labels, y[:800], -1)
        model = VIBClassifier(missing_label=-1, random_state=seed)
        fits = model.fit(X[:800], some), clone(model).fit(X[:n_labels], y[:n_labels])
        losses.append([log_loss(y[800:], fit.predict_proba(X[800:])) for fit in fits])
    ours, alone = np.mean(losses, axis=0)
    assert ours < alone + 0.02


def rings():
    X, y = make_gaussian_quantiles(n_samples=1600, n_features=2, n_classes=3, random_state=0)
    return X, y, np.where(np.arange(len(y)) < 20, y, -1)


def test_rows_that_keep_labels_from_being_learned_are_left_out():
    """Three rings, twenty labels: the penalty shuts the code, but for a short training of those rows alone."""
    X, y, some = rings()
    model = VIBClassifier(missing_label=-1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="trained on the labelled rows alone"):
        model.fit(X[:600], some[:600])
    alone = VIBClassifier(random_state=0).fit(X[:20], y[:20])
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    assert model.score(X, y) > 0.7


def test_callbacks_watch_the_first_training():
    callback = pytest.importorskip("sklearn.callback")
    X, _, some = rings()
    model = VIBClassifier(missing_label=-1, random_state=0).set_callbacks(callback.ProgressBar())
    with pytest.warns(ConvergenceWarning, match="trained on the labelled rows alone"):
        model.fit(X[:600], some[:600])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_labels", [30, 100])
def test_classes_far_apart_need_no_rescue(n_labels):
    X, y = make_blobs(300, centers=3, cluster_std=0.3, random_state=1)
    model = VIBClassifier(missing_label=-1, random_state=0).fit(X, np.where(np.arange(300) < n_labels, y, -1))
    assert model._trust > 0.9
    assert model.score(X, y) == 1.0


def test_who_interrupts_what_asks_for_trust_stops_the_fit(monkeypatch):
    X, some = halves()
    calls, train_epoch = [], trainer._Run.train_epoch

    def interrupted(run, epoch):
        calls.append(epoch)
        if len(calls) == 5:
            raise KeyboardInterrupt
        train_epoch(run, epoch)

    monkeypatch.setattr(trainer._Run, "train_epoch", interrupted)
    model = VIBClassifier(**FAST, missing_label=-1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, some)
    assert len(calls) == 5
    calls[:] = range(20)
    diverging = clone(model).set_params(learning_rate_init=1e12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert diverging.fit(X, some)._trust == 0.0


def test_fits_that_differ_in_beta_alone_trust_alike():
    X, some = halves()
    model = VIBClassifier(missing_label=-1, max_iter=30, random_state=0)
    trust = {clone(model).set_params(beta=beta).fit(X, some)._trust for beta in (1e-4, 3e-3, 0.1)}
    assert len(trust) == 1
    assert trust.pop() > 0.3
    warm = clone(model).set_params(warm_start=True, missing_label=None).fit(X[some >= 0], some[some >= 0])
    assert warm.set_params(missing_label=-1).fit(X, some)._trust == 0.0  # its network guesses nothing


def test_paths_stacks_ensembles_and_pieces_take_them():
    X, some = halves()
    model = VIBClassifier(**FAST, missing_label=-1)
    path = beta_path(model, X, some, betas=3)
    assert len(path.evaluation_rows[1]) == np.sum(some >= 0)
    assert np.isfinite(path.information).all()
    with_validation = beta_path(model, X, some, betas=3, X_val=X, y_val=some)
    assert np.isfinite(with_validation.log_likelihoods).all()
    ensemble = clone(model).set_params(n_estimators=2, early_stopping=True).fit(X, some)
    assert np.isfinite(ensemble.distortion_)
    with fit_together():
        together = clone(model).fit(X, some)
    np.testing.assert_array_equal(weights_of(together), weights_of(clone(model).fit(X, some)))
    stream = clone(model)
    for _ in range(3):
        stream.partial_fit(X, some, classes=[0, 1, 2])
    assert np.isfinite(stream.predict_proba(X)).all()
    warm = clone(model).set_params(warm_start=True).fit(X, some).fit(X, some)
    assert np.isfinite(warm.rate_)


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_regressors_lose_little_by_rows_without_a_target(prior):
    X, y = make_friedman1(1200, noise=1.0, random_state=0)
    scores = []
    for seed in range(3):
        known = np.random.default_rng(seed).random(len(y)) < 0.1
        some, model = np.where(known, y, np.nan), VIBRegressor(random_state=seed)
        alone = clone(model).fit(X[known], y[known]).score(X[~known], y[~known])
        model.set_params(missing_label=np.nan, latent_prior=prior).fit(X, some)
        scores.append([model.score(X[~known], y[~known]), alone])
        assert model.score(X, some) == pytest.approx(model.score(X[known], y[known]))
    ours, theirs = np.mean(scores, axis=0)
    assert ours > theirs - 0.05
    two = VIBRegressor(**FAST, missing_label=np.nan).fit(X, np.c_[some, some])
    assert two.predict(X).shape == (len(X), 2)


def test_several_labels_a_row():
    X, some = halves()
    Y = np.where(some[:, None] < 0, -1, (some[:, None] == [0, 1]).astype(int))
    model = VIBClassifier(**FAST, missing_label=-1).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.score(X, Y) > 0.3


def test_what_cannot_be_is_refused():
    X, some = halves()
    model = VIBClassifier(**FAST, missing_label=-1)
    with pytest.raises(ValueError, match="No row of y has a target: all are missing_label=-1"):
        clone(model).fit(X, np.full(len(X), -1))
    with pytest.raises(ValueError, match="No row has a positive weight"):
        clone(model).fit(X, some, (some < 0).astype(float))
    with pytest.raises(ValueError, match="Rows without a target have no log-likelihood"):
        clone(model).fit(X, some).log_likelihood_samples(X, some)
    for y_val, message in ((np.full(9, -1), "No row of y has a target"), (some[:9], "No row of positive weight has")):
        with pytest.raises(ValueError, match=message):
            clone(model).fit(X, some, X_val=X[:9], y_val=y_val, sample_weight_val=(some[:9] < 0).astype(float))


def test_class_weights_are_of_the_labels():
    X, some = halves()
    model = VIBClassifier(**SMALL | {"max_iter": 1}, missing_label=-1, class_weight="balanced")
    with asked() as problems:
        model.fit(X, some)
    *_, problem = problems
    shares = [problem.rows.shares[TARGET][problem.rows.targets[TARGET] == k].sum() for k in range(3)]
    np.testing.assert_allclose(shares, np.mean(shares), rtol=1e-4)
