"""Displays draw what was measured, where they are told to."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from models import SMALL
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import (
    BetaPathDisplay,
    BetaSearchCV,
    FeatureInformationDisplay,
    InformationPlaneDisplay,
    LatentDisplay,
    LatentRatesDisplay,
    TrainingCurveDisplay,
    VIBClassifier,
    VIBRegressor,
    beta_path,
    feature_information,
    gaussian_limit,
    information_plane,
    latent_information,
    one_standard_error,
)

FAST = SMALL | {"latent_dim": 4, "max_iter": 30}


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture(scope="module")
def halves():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X[::2], y[::2], X[1::2], y[1::2]


@pytest.fixture(scope="module")
def path(halves):
    X, y, X_val, y_val = halves
    return beta_path(VIBClassifier(**FAST), X, y, betas=5, X_val=X_val, y_val=y_val)


@pytest.fixture(scope="module")
def model(halves):
    X, y, _, _ = halves
    return make_pipeline(StandardScaler(), VIBClassifier(**FAST, beta=0.03)).fit(X, y)


def test_the_information_plane_draws_bounds_frontier_limit_and_choice(path, ax):
    limit = np.array([0.1, 1.0]), np.array([0.05, 0.4])
    display = InformationPlaneDisplay.from_path(path, ax=ax, limit=limit)
    plane = information_plane(path)
    x, y = display.line_.get_data()
    np.testing.assert_allclose(x, 0.5 * (plane.x_lower + plane.x_upper))
    np.testing.assert_allclose(y, plane.y_lower)
    np.testing.assert_allclose(display.rate_line_.get_xdata(), plane.rate)
    np.testing.assert_array_equal(display.limit_line_.get_data(), limit)
    corners = display.frontier_.get_paths()[0].vertices
    assert (corners[:, 1] <= np.minimum(corners[:, 0], plane.entropy) + 1e-9).all()
    chosen = np.flatnonzero(path.betas == path.choose("1se"))[0]
    assert display.chosen_.get_xydata()[0].tolist() == [x[chosen], y[chosen]]
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert "nats" in ax.get_xlabel()
    assert "nats" in ax.get_ylabel()


def test_the_plane_of_a_search_marks_its_beta_in_bits(halves, ax):
    X, y, X_val, y_val = halves
    search = GridSearchCV(VIBClassifier(**FAST), {"beta": [0.001, 0.01]}, cv=2).fit(X, y)
    options = {"X_train": X, "y_train": y, "unit": "bits"}
    display = InformationPlaneDisplay.from_estimator(search, X_val, y_val, ax=ax, **options)
    assert display.beta == search.best_params_["beta"]
    assert "bits" in ax.get_xlabel()
    assert display.plane.entropy == pytest.approx(np.log2(3))


def test_the_plane_of_a_regression_meets_the_gaussian_limit(ax):
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    path = beta_path(VIBRegressor(**FAST | {"hidden_layer_sizes": ()}), X, y, betas=[0.1, 0.3])
    display = InformationPlaneDisplay.from_path(path, limit=gaussian_limit(X, y, [0.1, 0.3]), ax=ax)
    assert display.chosen_ is None
    assert ax.get_xscale() == "linear"
    assert ax.get_ylim()[1] > display.limit[1].max()


def test_the_path_display_marks_both_choices(path, ax):
    display = BetaPathDisplay.from_path(path, ax=ax)
    np.testing.assert_array_equal(display.line_.get_data(), [path.betas, path.log_likelihoods])
    np.testing.assert_array_equal(display.rate_line_.get_ydata(), path.rate)
    np.testing.assert_array_equal(display.active_line_.get_ydata(), path.n_active)
    assert display.best_beta_ == path.choose()
    assert display.compressed_beta_ == path.choose("1se") >= display.best_beta_
    score, rate, active = display.axes_
    assert {panel.get_xscale() for panel in display.axes_} == {"log"}
    assert "nats" in score.get_ylabel()
    assert rate.get_ylabel() == "rate (nats)"
    assert active.get_xlabel() == "beta, price of a nat"


def test_the_path_display_of_a_search_shows_its_folds(halves, ax):
    X, y, _, _ = halves
    search = BetaSearchCV(VIBClassifier(**FAST), {"beta": [0.1, 0.001, 0.01]}, cv=3).fit(X, y)
    display = BetaPathDisplay.from_estimator(search, X, y, ax=ax)
    assert display.betas.tolist() == [0.001, 0.01, 0.1]
    np.testing.assert_array_equal(display.score, search.cv_results_["mean_test_score"][[1, 2, 0]])
    assert display.best_beta_ == search.best_params_["beta"]
    assert display.axes_[0].get_ylabel() == "log-likelihood (nats),\n3 folds"
    compressed = search.cv_results_["params"][one_standard_error(search.cv_results_)]["beta"]
    assert display.compressed_beta_ == compressed
    wide = GridSearchCV(VIBClassifier(**FAST), {"beta": [0.001, 0.01], "latent_dim": [2, 3]}, cv=2).fit(X, y)
    with pytest.raises(ValueError, match="over beta alone"):
        BetaPathDisplay.from_estimator(wide, X, y)


def test_a_path_from_zero_is_drawn(halves, ax):
    X, y, _, _ = halves
    path = beta_path(VIBClassifier(**FAST | {"max_iter": 2}), X, y, betas=[0.0, 0.01], method="exact")
    display = BetaPathDisplay.from_path(path, ax=ax)
    assert display.axes_[0].get_xscale() == "symlog"
    assert "training rows" in display.axes_[0].get_ylabel()


def test_the_training_curve_splits_the_loss(halves, ax):
    X, y, X_val, y_val = halves
    fitted = VIBClassifier(**FAST, beta=0.03).fit(X, y, X_val=X_val, y_val=y_val)
    display = TrainingCurveDisplay.from_estimator(fitted, ax=ax)
    np.testing.assert_array_equal(display.line_.get_ydata(), fitted.loss_curve_)
    np.testing.assert_array_equal(display.distortion_line_.get_ydata(), fitted.history_["distortion"])
    np.testing.assert_allclose(display.rate_line_.get_ydata(), 0.03 * fitted.history_["rate"], atol=1e-12)
    losses = 0.03 * fitted.history_["rate"] - fitted.validation_scores_
    np.testing.assert_allclose(display.validation_line_.get_ydata(), losses)
    assert display.best_epoch_ == 1 + np.argmin(losses)
    total = display.distortion_line_.get_ydata() + display.rate_line_.get_ydata()
    np.testing.assert_allclose(display.line_.get_ydata()[5:], total[5:], rtol=1e-5)


def test_the_training_curve_of_a_regression_may_be_negative(ax):
    X, y = load_diabetes(return_X_y=True)
    display = TrainingCurveDisplay.from_estimator(VIBRegressor(**FAST, early_stopping=False).fit(X, 1e-3 * y), ax=ax)
    assert ax.get_yscale() == "linear"
    assert display.validation_line_ is display.best_epoch_ is None


def test_the_latent_display_draws_each_class_in_its_own_style(model, halves, ax):
    _, _, X, y = halves
    display = LatentDisplay.from_estimator(model, X, y, ax=ax)
    mu, sigma = model[-1].encode(model[0].transform(X))
    first, second = display.dimensions_
    rates = (0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).mean(axis=0)
    assert {first, second} == set(np.argsort(rates)[-2:].tolist())
    for label, points in zip(np.unique(y), display.line_, strict=True):
        np.testing.assert_allclose(points.get_offsets(), mu[y == label][:, [first, second]])
    assert len({points.get_paths()[0].vertices.tobytes() for points in display.line_}) == 3
    np.testing.assert_allclose(display.ellipses_.get_widths(), 2 * sigma[:, first][: len(X)])
    chosen = LatentDisplay.from_estimator(model, X, dimensions=(3, 0), ax=Figure().add_subplot())
    assert chosen.dimensions_ == (3, 0)
    np.testing.assert_allclose(chosen.line_[0].get_offsets(), mu[:, [3, 0]])


def test_the_latent_display_colours_by_numbers_and_takes_one_dimension(ax):
    X, y = load_diabetes(return_X_y=True)
    fitted = VIBRegressor(**FAST | {"latent_dim": 1}, beta=0.1).fit(X, y)
    display = LatentDisplay.from_estimator(fitted, X, y, ax=ax)
    (points,) = display.line_
    np.testing.assert_array_equal(points.get_array(), y)
    assert display.dimensions_ == (0,)
    assert not points.get_offsets()[:, 1].any()


def test_many_string_labels_and_wrong_dimensions(ax):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.array([f"class {k}" for k in range(12)] * 5)
    fitted = VIBClassifier(**FAST).fit(X, y)
    (points,) = LatentDisplay.from_estimator(fitted, X, y, ax=ax).line_
    assert points.get_array().max() == 11
    for dimensions in [(0, 1, 2), (0, 9)]:
        with pytest.raises(ValueError, match="two of 4"):
            LatentDisplay.from_estimator(fitted, X, dimensions=dimensions)
    with pytest.raises(ValueError, match="inconsistent"):
        LatentDisplay.from_estimator(fitted, X, y[:3])


def test_a_lone_code_that_keeps_much_is_drawn(halves, ax):
    X, y, X_val, y_val = halves
    cheap = VIBClassifier(**FAST | {"max_iter": 100}, beta=1e-4).fit(X, y)
    display = InformationPlaneDisplay.from_estimator([cheap], X_val, y_val, ax=ax)
    assert 0 < display.line_.get_xdata()[0] < ax.get_xlim()[1]


def test_what_cannot_be_drawn_is_said(model, halves, path):
    X, y, _, _ = halves
    with pytest.raises(TypeError, match="from_estimator"):
        InformationPlaneDisplay.from_path(model)
    for display in (TrainingCurveDisplay, LatentRatesDisplay):
        with pytest.raises(NotFittedError):
            display.from_estimator(VIBClassifier())
    with pytest.raises(ValueError, match="no options"):
        LatentRatesDisplay.from_estimator(model, max_rows=100)
    grid = {"beta": [0.001, 0.01]}
    scoring = ["accuracy", "neg_log_loss"]
    search = GridSearchCV(VIBClassifier(**FAST), grid, cv=2, scoring=scoring, refit="accuracy").fit(X, y)
    with pytest.raises(ValueError, match="single metric"):
        BetaPathDisplay.from_estimator(search, X, y)


def test_rates_are_drawn_from_the_highest(model, halves, ax):
    display = LatentRatesDisplay.from_estimator(model, ax=ax)
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, np.sort(model[-1].latent_rates_)[::-1])
    assert display.line_.get_ydata()[0] == 0.01
    _, _, X, y = halves
    measured = LatentRatesDisplay.from_estimator(model, X, y, ax=Figure().add_subplot(), unit="bits")
    found = latent_information(model, X, y, unit="bits")
    order = np.argsort(-found.rate)
    np.testing.assert_allclose(measured.added_lines_[0].get_ydata(), found.x_added[order])
    np.testing.assert_allclose(measured.added_lines_[1].get_ydata(), found.y_added[order])
    assert "bits" in measured.ax_.get_ylabel()


def test_features_are_drawn_by_what_the_target_loses(model, halves, ax):
    _, _, X, y = halves
    display = FeatureInformationDisplay.from_estimator(model, X, y, max_features=3, ax=ax)
    found = feature_information(model, X, y)
    order = np.argsort(-found.y_lost)[:3][::-1]
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], found.y_lost[order])
    np.testing.assert_allclose(display.line_.get_xdata(), found.x_kept[order])
    assert [label.get_text() for label in ax.get_yticklabels()] == [found.names[k] for k in order]
    without = FeatureInformationDisplay.from_estimator(model, X, ax=Figure().add_subplot())
    assert without.line_ is None
    np.testing.assert_allclose([bar.get_width() for bar in without.bars_], np.sort(found.x_kept))


def test_a_category_that_the_target_does_not_need_is_drawn_last(ax):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = (X[:, 0] + 0.7 * X[:, 1] + 0.4 * X[:, 2] > 0).astype(int)
    levels = np.eye(40)[rng.integers(40, size=600)]
    rows = np.hstack([X, levels])
    fitted = VIBClassifier(random_state=0).fit(rows[:400], y[:400])
    groups = {"a": 0, "b": 1, "c": 2, "noise": range(3, 43)}
    FeatureInformationDisplay.from_estimator(fitted, rows[400:], y[400:], features=groups, ax=ax)
    assert ax.get_yticklabels()[0].get_text() == "noise"


def test_the_two_dimensions_of_a_default_model_differ(halves, ax):
    X, y, X_test, y_test = halves
    display = LatentDisplay.from_estimator(VIBClassifier(random_state=0).fit(X, y), X_test, y_test, ax=ax)
    codes = np.vstack([points.get_offsets() for points in display.line_])
    assert abs(np.corrcoef(codes.T)[0, 1]) < 0.97


def test_twins_are_not_drawn_against_each_other():
    mu = np.random.default_rng(0).normal(size=(50, 4)) * [3.0, 0.1, 1.0, 0.2]
    mu[:, 1] = 0.9 * mu[:, 0]
    sigma = np.full_like(mu, 0.5)
    rates = np.square(mu).mean(axis=0)
    assert LatentDisplay(mu, sigma, rates=rates).dimensions_ == (0, 2)
    assert LatentDisplay(mu[:, :2], sigma[:, :2], rates=rates[:2]).dimensions_ == (0, 1)


def test_without_rates_the_dimensions_of_the_clearest_signal_are_drawn(ax):
    mu = np.random.default_rng(0).normal(size=(50, 4)) * [0.01, 0.1, 2.0, 3.0]
    display = LatentDisplay(mu, np.full_like(mu, 0.1))
    assert display.dimensions_ == (2, 3)
    del display.rates  # as a pickle of before has it
    assert display.plot(ax=ax).dimensions_ == (2, 3)


def test_the_plane_of_one_pipeline_is_a_point(model, halves, ax):
    _, _, X, y = halves
    display = InformationPlaneDisplay.from_estimator(model, X, y, ax=ax)
    assert display.plane.betas.tolist() == [model[-1].beta]
    assert display.chosen_ is not None


def test_a_search_that_ends_a_pipeline_is_drawn(halves):
    X, y, X_test, y_test = halves
    grid = {"beta": [0.01, 0.1]}
    search = make_pipeline(StandardScaler(), BetaSearchCV(VIBClassifier(**FAST), grid, cv=2)).fit(X, y)
    options = {"X_train": X, "y_train": y, "ax": Figure().add_subplot()}
    assert InformationPlaneDisplay.from_estimator(search, X_test, y_test, **options).plane.betas.tolist() == [0.01, 0.1]
    assert BetaPathDisplay.from_estimator(search, X, y, ax=Figure().add_subplot()).rate_line_ is not None


def test_a_search_is_drawn_from_its_results_without_a_refit(halves, monkeypatch):
    X, y, *_ = halves
    search = BetaSearchCV(VIBClassifier(**FAST), {"beta": [0.01, 0.1, 1.0]}, cv=2, refit=False).fit(X, y)
    monkeypatch.setattr(VIBClassifier, "fit", None)
    display = BetaPathDisplay.from_estimator(search, ax=Figure().add_subplot())
    np.testing.assert_array_equal(display.line_.get_ydata(), search.cv_results_["mean_test_score"])
    assert display.rate_line_ is display.active_line_ is None
    assert len(display.axes_) == 1
    with pytest.raises(ValueError, match="go together"):
        BetaPathDisplay.from_estimator(search, X)


def test_a_given_ax_needs_no_pyplot_and_importing_skvib_no_matplotlib():
    program = """
import sys
from sklearn.datasets import load_iris
import skvib
assert "matplotlib" not in sys.modules
X, y = load_iris(return_X_y=True)
model = skvib.VIBClassifier(hidden_layer_sizes=(8,), latent_dim=2, max_iter=2, random_state=0)
path = skvib.beta_path(model, X, y, betas=2, X_val=X, y_val=y)
model.fit(X, y)
from matplotlib.figure import Figure
figure = Figure()
axes = figure.subplots(2, 3).ravel()
skvib.InformationPlaneDisplay.from_path(path, ax=axes[0])
skvib.BetaPathDisplay.from_path(path, ax=axes[1])
skvib.TrainingCurveDisplay.from_estimator(model, ax=axes[2])
skvib.LatentDisplay.from_estimator(model, X, y, ax=axes[3])
skvib.LatentRatesDisplay.from_estimator(model, X, y, ax=axes[4])
skvib.FeatureInformationDisplay.from_estimator(model, X, y, ax=axes[5])
figure.savefig(sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program, "/dev/stdout"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_an_ax_a_new_figure_is_made(model):
    plt = pytest.importorskip("matplotlib.pyplot")
    display = LatentRatesDisplay.from_estimator(model)
    assert plt.gcf() is display.figure_
    plt.close(display.figure_)


def test_without_matplotlib_the_extra_is_named(model, monkeypatch):
    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *args, **kwargs)

    found = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"skvib\[plot\]"):
        LatentRatesDisplay.from_estimator(model)


def test_training_curves_go_on_behind_the_last_validation(iris):
    model = VIBClassifier(**FAST | {"max_iter": 3}).fit(*iris).set_params(early_stopping="auto").partial_fit(*iris)
    display = TrainingCurveDisplay.from_estimator(model)
    assert len(display.line_.get_ydata()) == 4
    assert np.isfinite(display.validation_line_.get_ydata()).tolist() == [True, True, True, False]


def test_codes_of_given_rates_are_marked(path, ax):
    rates = np.quantile(path.rate, [0.3, 0.7])
    models = [path.at_rate(rate) for rate in rates]
    display = BetaPathDisplay.from_path(path, rates=rates, ax=ax)
    np.testing.assert_array_equal(display.marks_.get_xydata(), [(model.beta, model.rate_) for model in models])
    plane = InformationPlaneDisplay.from_path(path, rates=rates, max_rows=50)
    measured = information_plane(models, *path.evaluation_rows[:2], max_rows=50)
    np.testing.assert_allclose(plane.marks_.get_ydata(), measured.y_lower)
    assert InformationPlaneDisplay.from_path(path, max_rows=50).marks_ is None
    assert BetaPathDisplay.from_path(path).marks_ is None


def test_the_plane_of_one_regression_is_a_point(ax):
    X, y = load_diabetes(return_X_y=True)
    model = VIBRegressor(hidden_layer_sizes=(8,), latent_dim=2, max_iter=5, random_state=0).fit(X, y)
    display = InformationPlaneDisplay.from_estimator(model, X, y, ax=ax)
    assert len(display.line_.get_xdata()) == 1
