"""What a code is not to tell: `nuisance` and `invariance`, and the information that is left."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from models import MEDIUM, SMALL, asked, weights_of
from scipy.integrate import trapezoid
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_objective import make_batch, make_network

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path, fit_together, nuisance_information
from skvib.model_selection import grouping
from skvib.nn import trainer
from skvib.nn.nuisances import NuisanceTerm
from skvib.nn.objective import loss_terms
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.rows import GUESSED, NUISANCE, TARGET
from skvib.nuisances import groups_of

FAST = SMALL | {"max_iter": 10, "invariance": 1.0}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:A batch holds"),
]


def scans(n=1000, agreement=0.9, seed=0):
    """Rows of two labels and two scanners, which agree with the labels more or less often, and leave a pattern."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    scanner = np.where(rng.random(n) < agreement, y, 1 - y)
    X = rng.normal(size=(n, 12))
    X[:, :4] += 0.7 * (2 * y - 1)[:, None]
    X[:, 4:8] += (2 * scanner - 1)[:, None]
    return X, y, scanner


def broken(estimator, X, y):
    raise ValueError("no scorer of mine")


def grouped(batch, n_groups=3):
    generator = torch.Generator().manual_seed(2)
    groups = torch.randint(n_groups, batch.rows.weights.shape, generator=generator)
    return batch._replace(rows=batch.rows._replace(targets=batch.rows.targets | {NUISANCE: groups}))


@pytest.mark.parametrize("n_draws", [1, 2])
@pytest.mark.parametrize("prior", ["normal", "mixture", "class"])
def test_gradients_agree_with_autograd(prior, n_draws):
    network, _ = make_network(latent_dims=(3, 2), prior=prior, invariances=[0.5, 2.0])
    batch = grouped(make_batch(network, n_draws=n_draws))
    rows, beta = batch.rows, torch.full((2, 1), 0.3, dtype=torch.float64)
    (mu, sigma) = posterior = network(rows.inputs)
    code = Code(posterior, batch.noise, posterior.sample(batch.noise))
    log_q = torch.distributions.Normal(mu[:, None, None], sigma[:, None, None]).log_prob(code.z.unsqueeze(3)).sum(-1)
    log_joint = log_q + rows.weights.log()[:, None, None]
    own = rows.targets[NUISANCE][:, :, None] == rows.targets[NUISANCE][:, None]
    share = (own * rows.weights[:, None]).sum(-1) / rows.weights.sum(-1, keepdim=True)
    of_own = torch.logsumexp(log_joint.masked_fill(~own[:, None], -torch.inf), -1)
    information = (of_own - torch.logsumexp(log_joint, -1) - share.log()[:, None]).mean(1)
    with torch.no_grad():
        terms = loss_terms(network, batch, beta)
    torch.testing.assert_close(terms[-1], information)
    weights = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    distortion, _ = network.heads[TARGET].record(code, rows, TARGET)
    (paid, *_), _ = network.prior.record(code, rows)
    share = 0.7 if prior == "class" else 1.0
    loss = (rows.weights * (share * distortion + beta * paid + weights * information) / batch.n_rows).sum()
    if prior == "class":  # its weights learn the shares of the labels beside
        log_weights = network.prior.components().log_weights.gather(1, rows.targets[TARGET])
        loss = loss - (beta * rows.weights * log_weights / batch.n_rows).sum()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-11)


def test_far_apart_groups_are_told_and_equal_codes_tell_nothing():
    term, weights = NuisanceTerm([1.0]).double(), torch.ones(1, 8, dtype=torch.float64)
    batch = make_batch(make_network()[0])
    groups = torch.arange(8)[None] % 2
    rows = batch.rows._replace(weights=weights, targets={NUISANCE: groups})
    noise = torch.randn(1, 2, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for distance, expected in ((0.0, 0.0), (100.0, np.log(2.0))):
        posterior = Diagonal(distance * groups[..., None].double().expand(1, 8, 3), torch.ones(1, 8, 3).double())
        values, _ = term.record(Code(posterior, noise, posterior.sample(noise)), rows)
        torch.testing.assert_close(values, torch.full((1, 8), expected, dtype=torch.float64))


def test_a_code_leaves_out_what_it_is_told_to():
    X, y, scanner = scans()
    X_test, y_test, other = scans(3000, agreement=0.5, seed=1)
    plain = VIBClassifier(**MEDIUM).fit(X, y)
    model = VIBClassifier(**MEDIUM, invariance=1.0).fit(X, y, nuisance=scanner)
    assert model.score(X_test, y_test) > plain.score(X_test, y_test) + 0.03
    told = [nuisance_information(one, X_test, other) for one in (plain, model)]
    assert told[1].upper < told[0].lower / 2
    codes = model.transform(X_test)
    guess = HistGradientBoostingClassifier(random_state=0).fit(codes[:1500], other[:1500])
    assert roc_auc_score(other[1500:], guess.predict_proba(codes[1500:])[:, 1]) < 0.65


def test_information_falls_with_invariance():
    weights = [0.0, 0.3, 1.0, 3.0]
    told = np.empty((5, len(weights)))
    for seed in range(5):
        X, y, scanner = scans(600, seed=seed)
        X_test, _, other = scans(1500, seed=seed + 10)
        for k, invariance in enumerate(weights):
            model = VIBClassifier(**MEDIUM | {"random_state": seed, "max_iter": 40}, invariance=invariance)
            model.fit(X, y, nuisance=scanner if invariance else None)
            told[seed, k] = nuisance_information(model, X_test, other).upper
    steps = np.diff(told, axis=1)
    assert (steps.mean(axis=0) <= 2.0 * steps.std(axis=0, ddof=1) / np.sqrt(len(steps))).all()
    assert steps.mean(axis=0)[:2].max() < -0.01


def test_dimensions_that_can_be_spared_are_the_same_for_all_rows():
    X, y, scanner = scans()
    model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.03, invariance=1.0, max_iter=60, random_state=0)
    model.fit(X, y, nuisance=scanner)
    is_silent = np.ptp(model.transform(X), axis=0) == 0
    assert is_silent.sum() > 20
    assert model.latent_rates_[is_silent].max() < 0.1 < model.latent_rates_.max()
    assert model.rate_ == pytest.approx(model.rate_samples(X).mean(), rel=0.05)
    paid = model.history_["loss"] - model.history_["nuisance_information"]
    assert model.distortion_ + model.beta * model.rate_ < paid[-5:].mean() + 0.02


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_streams_and_warm_starts_keep_all_of_their_network():
    X, y, scanner = scans(300)
    model = VIBClassifier(**MEDIUM, invariance=1.0)
    for _ in range(5):
        model.partial_fit(X, y, classes=[0, 1], nuisance=scanner)
    for k in range(5):
        model.partial_fit(X[k : k + 1], y[k : k + 1], nuisance=scanner[k : k + 1])
    assert (np.ptp(model.transform(X), axis=0) > 0).all()
    warm = VIBClassifier(**MEDIUM | {"beta": 0.5, "warm_start": True}, invariance=1.0).fit(X, y, nuisance=scanner)
    assert (np.ptp(warm.transform(X), axis=0) > 0).all()


def test_what_is_spared_costs_validation_rows_nothing(monkeypatch):
    X, y, scanner = scans(400)
    X_val, y_val, _ = scans(400, seed=1)
    for beta in (1e-2, 0.1):
        model = VIBClassifier(**MEDIUM | {"beta": beta, "latent_dim": 16}, invariance=1.0)
        likelihoods = []
        for silence in (trainer._Run._silence, lambda run: None):
            with monkeypatch.context() as patch:
                patch.setattr(trainer._Run, "_silence", silence)
                model.fit(X, y, nuisance=scanner, X_val=X_val, y_val=y_val)
            likelihoods.append(model.log_likelihood_samples(X_val, y_val).mean())
        assert likelihoods[0] > likelihoods[1] - 0.003


def test_the_loss_is_what_is_paid():
    X, y, scanner = scans()
    model = VIBClassifier(**FAST, early_stopping=False).fit(X, y, nuisance=scanner)
    history = model.history_
    expected = history["distortion"] + model.beta * history["rate"] + history["nuisance_information"]
    np.testing.assert_allclose(history["loss"], expected)
    assert "nuisance_information" not in VIBClassifier(**FAST | {"invariance": 0.0}).fit(X, y).history_


@pytest.mark.parametrize(
    ("nuisance", "n_groups"),
    [
        (np.array(["a", "b", "a", "c"] * 25), 3),
        (["x", "y"] * 50, 2),
        (np.arange(100), 100),
        (np.arange(100) / 7.0, 10),
        (np.repeat([0.5, 1.5], 50), 2),
        (np.c_[np.arange(100) % 2, np.arange(100) % 3], 6),
        (pd.DataFrame({"sex": ["f", "m"] * 50, "age": np.linspace(18.0, 80.0, 100)}), 20),
        (pd.Series(["a", "b"] * 50, dtype="category"), 2),
        (torch.arange(100) % 4, 4),
        ([1, "1"] * 50, 2),
        (np.r_[np.zeros(90), np.linspace(1.0, 2.0, 10)], 2),
        (np.r_[np.zeros(80), np.linspace(1.0, 2.0, 20)], 3),
        (np.r_[np.arange(80.0), np.full(20, np.inf)], 9),
        (pl.DataFrame({"site": np.arange(100) % 3, "sex": ["f", "m"] * 50}), 6),
    ],
    ids=[
        *("strings", "list", "integers", "numbers", "two numbers", "columns", "frame", "categories", "tensor", "mixed"),
        *("mostly 0, of few values", "mostly 0", "infinite", "polars"),
    ],
)
def test_labels_and_deciles_of_numbers_make_groups(nuisance, n_groups):
    groups = groups_of(nuisance, np.ones(100))
    assert sorted(set(groups)) == list(range(n_groups))
    if n_groups in (10, 20):
        assert np.bincount(groups).max() == 100 // n_groups


def test_what_cannot_be_is_refused():
    X, y, scanner = scans(60)
    model = VIBClassifier(**FAST)
    with pytest.raises(ValueError, match="invariance=1 is the price of what a code tells"):
        clone(model).fit(X, y)
    with pytest.raises(ValueError, match="left out at a price, and invariance is 0"):
        VIBClassifier(**FAST | {"invariance": 0.0}).fit(X, y, nuisance=scanner)
    with pytest.raises(ValueError, match="nuisance has 59 rows, but X has 60"):
        clone(model).fit(X, y, nuisance=scanner[:-1])
    with pytest.raises(ValueError, match="nuisance has missing values"):
        clone(model).fit(X, y, nuisance=[None, *scanner[1:]])
    with pytest.raises(ValueError, match="nuisance has missing values"):
        clone(model).fit(X, y, nuisance=["a", np.nan] * 30)
    for unusable in (np.zeros((60, 2, 2)), "sex", pd.DataFrame(index=range(60))):
        with pytest.raises(ValueError, match="a value of each row"):
            clone(model).fit(X, y, nuisance=unusable)
    with pytest.raises(ValueError, match='invariance=1 needs method="exact"'):
        BetaSearchCV(clone(model)).fit(X, y, nuisance=scanner)
    with pytest.raises(ValueError, match='invariance=1 needs method="exact"'):
        beta_path(clone(model), X, y, betas=3, nuisance=scanner)


@pytest.mark.parametrize("column", [4, None], ids=["numbers", "labels"])
def test_the_order_of_rows_and_copies_mean_nothing(column):
    X, y, scanner = scans(100)
    scanner = scanner if column is None else X[:, column]
    order, weights = np.random.default_rng(0).permutation(100), np.random.default_rng(1).integers(1, 3, 100)
    model = VIBClassifier(**FAST)
    expected = weights_of(clone(model).fit(X, y, weights, nuisance=scanner))
    shuffled = clone(model).fit(X[order], y[order], weights[order], nuisance=scanner[order])
    np.testing.assert_array_equal(weights_of(shuffled), expected)
    copies = np.repeat(np.arange(100), weights)
    np.testing.assert_array_equal(
        weights_of(clone(model).fit(X[copies], y[copies], nuisance=scanner[copies])), expected
    )


def test_rows_of_two_groups_are_two_rows():
    X, y = np.repeat(np.eye(20), 2, axis=0), np.repeat(np.arange(20) % 2, 2)
    with asked() as problems:
        VIBClassifier(**FAST).fit(X, y, nuisance=np.arange(40) % 2)
    assert problems[0].rows.targets[NUISANCE].bincount().tolist() == [20, 20]


@pytest.mark.filterwarnings("ignore:Scoring failed", "ignore:One or more of the test scores")
def test_a_search_over_invariances_is_one_training(monkeypatch):
    X, y, scanner = scans(201)
    grid = {"invariance": [0.1, 1.0], "beta": [1e-3, 1e-2], "latent_dim": [2, 4]}
    alone = GridSearchCV(VIBClassifier(**FAST), grid, cv=2, refit=False).fit(X, y, nuisance=scanner)
    train, trained = grouping.train, []
    monkeypatch.setattr(grouping, "train", lambda problems, *rest: trained.append(problems) or train(problems, *rest))
    search = GridSearchCV(VIBClassifier(**FAST), grid, cv=2, refit=False)
    with fit_together():
        search.fit(X, y, nuisance=scanner)
    assert [len(problems) for problems in trained] == [16]
    assert len({problem.in_common() for problem in trained[0]}) == 1
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    best = BetaSearchCV(VIBClassifier(**FAST), {"beta": [1e-3, 1e-2]}, cv=2, method="exact")
    assert np.isfinite(best.fit(X, y, nuisance=scanner).best_score_)
    with pytest.raises(ValueError, match="no scorer of mine"):
        best.set_params(scoring=broken).fit(X, y, nuisance=scanner)


@pytest.mark.parametrize("prior", ["normal", "mixture", "class"])
def test_it_composes(prior):
    X, y, scanner = scans(200)
    some = np.where(np.arange(200) % 2, y, -1)
    model = VIBClassifier(**FAST, latent_prior=prior, missing_label=-1)
    ensemble = clone(model).set_params(n_estimators=2).fit(X, some, nuisance=scanner)
    assert np.isfinite(ensemble.predict_proba(X)).all()
    assert 0 <= nuisance_information(ensemble, X, scanner).lower <= np.log(2)
    warm = clone(model).set_params(warm_start=True)
    for _ in range(2):
        warm.fit(X, some, nuisance=scanner)
    stream = clone(model)
    for _ in range(2):
        stream.partial_fit(X, some, classes=[0, 1], nuisance=scanner)
    for one in (warm, stream):
        assert np.isfinite(one.predict_proba(X)).all()
    path = beta_path(model, X, some, betas=[1e-3, 1e-1], method="exact", nuisance=scanner)
    assert path.rate[0] > path.rate[1]


def test_regressors_and_images_take_it():
    X, y, scanner = scans(200)
    model = VIBRegressor(**FAST).fit(X, X[:, 0], nuisance=X[:, 4])
    assert np.isfinite(model.history_["nuisance_information"]).all()
    model.partial_fit(X, X[:, 0], nuisance=X[:, 4])
    images = X.reshape(-1, 3, 4)
    model = VIBClassifier(encoder="conv", latent_dim=3, max_iter=3, invariance=1.0, random_state=0)
    assert model.fit(images, y, nuisance=scanner).predict(images).shape == y.shape


def test_other_names_of_it_are_routed():
    X, y, scanner = scans(100)
    with sklearn.config_context(enable_metadata_routing=True):
        model = VIBClassifier(**FAST)
        expected = weights_of(clone(model).fit(StandardScaler().fit_transform(X), y, nuisance=scanner))
        own = make_pipeline(StandardScaler(), clone(model)).fit(X, y, nuisance=scanner)
        np.testing.assert_array_equal(weights_of(own[-1]), expected)
        for name in ("sensitive_features", "sample_domain"):
            alias = make_pipeline(StandardScaler(), clone(model).set_fit_request(nuisance=name))
            np.testing.assert_array_equal(weights_of(alias.fit(X, y, **{name: scanner})[-1]), expected)


@pytest.mark.skipif(
    find_spec("skada") is None, reason="skada is an extra, and needs a newer scikit-learn than the oldest"
)
def test_skada_passes_the_domain_on():
    # on its own, since importing skada turns metadata routing on
    code = """
import numpy as np
from skada import make_da_pipeline
from skada.datasets import make_shifted_datasets
from skada.model_selection import SourceTargetShuffleSplit
from sklearn.preprocessing import StandardScaler
from skvib import VIBClassifier

X, y, domain = make_shifted_datasets(20, 20, shift="covariate_shift", random_state=0, return_X_y=True)
some = np.where(domain < 0, -1, y)  # those below 0 are the target
for train, test in SourceTargetShuffleSplit(n_splits=2, random_state=0).split(X, y, domain):
    vib = VIBClassifier(hidden_layer_sizes=(16,), latent_dim=3, invariance=1.0, missing_label=-1, random_state=0)
    vib.set_fit_request(nuisance="sample_domain")
    pipeline = make_da_pipeline(StandardScaler(), vib).fit(X[train], some[train], sample_domain=domain[train])
    assert pipeline[-1].get_estimator().history_["nuisance_information"].size
    assert pipeline.score(X[test], y[test]) > 0.9
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_bounds_enclose_the_information():
    X, y, scanner = scans(3000)
    model = VIBClassifier(hidden_layer_sizes=(16,), latent_dim=1, beta=0.03, max_iter=20, random_state=0).fit(X, y)
    told = nuisance_information(model, X, scanner, n_draws=8)
    mu, sigma = (part.astype(float) for part in model.encode(X))
    z = np.linspace((mu - 6 * sigma).min(), (mu + 6 * sigma).max(), 1500)
    densities = np.exp(-0.5 * ((z[:, None] - mu[:, 0]) / sigma[:, 0]) ** 2) / sigma[:, 0] / np.sqrt(2 * np.pi)
    q, exact = densities.mean(axis=1), 0.0
    for s in range(2):
        q_s = densities[:, scanner == s].mean(axis=1)
        exact += np.mean(scanner == s) * trapezoid(q_s * np.log(np.maximum(q_s, 1e-300) / np.maximum(q, 1e-300)), z)
    assert told.lower - 2 * told.lower.standard_error <= exact <= told.upper + 2 * told.upper.standard_error
    assert told.upper - told.lower < 0.01
    assert told.entropy == pytest.approx(np.log(2), abs=0.01)
    bits = nuisance_information(model, X, scanner, n_draws=8, unit="bits")
    assert bits.upper == pytest.approx(told.upper / np.log(2))


def test_information_about_noise_is_none():
    X, y, _ = scans(1000)
    model = VIBClassifier(**SMALL, max_iter=30).fit(X, y)
    told = nuisance_information(model, X, np.random.default_rng(1).integers(0, 3, 1000))
    assert told.lower == pytest.approx(0.0, abs=0.01)
    with pytest.raises(ValueError, match="nuisance has 999 rows"):
        nuisance_information(model, X, y[:-1])


def test_labels_of_a_domain_without_any_are_not_guessed():
    X, y, scanner = scans(300)
    some = np.where(scanner == 1, -1, y)
    model = VIBClassifier(**FAST, missing_label=-1)
    with asked() as problems:
        model.fit(X, some, nuisance=scanner)
    assert len(problems) == 1  # no others ask what a guess is worth
    assert not problems[0].rows.shares[GUESSED].any()
    some = np.where((scanner == 1) | (np.arange(300) % 2 == 0), -1, y)
    with asked() as problems:
        model.fit(X, some, nuisance=scanner)
    rows = problems[-1].rows
    assert len(problems) == 6
    assert bool((rows.shares[GUESSED] > 0).eq(rows.targets[NUISANCE] == 0).all())


def test_another_domain_is_learned_from_its_rows_without_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1200)
    X = rng.normal(size=(1200, 4)) + np.c_[3.0 * y, 3.0 * y, 0.0 * y, 0.0 * y]
    X_other = X.copy()
    X_other[:, :2] += 1.3  # less than half of how far classes are apart
    both, some = np.r_[X[:600], X_other[600:]], np.r_[y[:600], np.full(600, -1)]
    domain = np.repeat([0, 1], 600)
    alone = VIBClassifier(**MEDIUM).fit(X[:600], y[:600])
    model = VIBClassifier(**MEDIUM, missing_label=-1, invariance=3.0).fit(both, some, nuisance=domain)
    assert model.score(X_other[600:], y[600:]) > alone.score(X_other[600:], y[600:]) + 0.05


def test_small_groups_are_warned_of():
    X, y, _ = scans(200)
    with pytest.warns(UserWarning, match=r"A batch holds 0\.3 rows of a group"):
        VIBClassifier(**FAST).fit(X, y, nuisance=np.arange(200) // 2)


def test_rare_values_of_numbers_are_a_group():
    X, y, _ = scans(1000)
    rng = np.random.default_rng(1)
    amount = np.where(rng.random(1000) < 0.92, 0.0, rng.random(1000) + 0.1)
    X[:, 0] += 4 * (amount > 0)
    model = VIBClassifier(**SMALL, max_iter=20).fit(X, y)
    told = [nuisance_information(model, X, one) for one in (amount, (amount > 0).astype(int))]
    assert told[0].entropy == pytest.approx(told[1].entropy)
    assert told[0].upper > 0.01


def test_bounds_are_in_order():
    X, y, _ = scans(40)
    model = VIBClassifier(**SMALL | {"latent_dim": 2}, max_iter=3).fit(X, y)
    for seed in range(20):
        told = nuisance_information(model, X, np.random.default_rng(seed).integers(0, 2, 40), n_draws=1)
        assert 0 <= told.lower <= told.upper
    assert nuisance_information(model, X, np.zeros(40)).entropy == 0.0
