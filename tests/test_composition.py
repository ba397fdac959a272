"""Inside scikit-learn's pipelines, searches and ensembles; metadata routing and callbacks."""

import warnings

import numpy as np
import pytest
import sklearn
from models import QUICK, SMALL
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    HistGradientBoostingClassifier,
    StackingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils.estimator_checks import check_estimator

from skvib import VIBClassifier, VIBRegressor

FAST = SMALL | QUICK | {"max_iter": 30}


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def pipeline(**changes):
    return make_pipeline(StandardScaler(), VIBClassifier(**FAST | changes))


def test_grid_search_prefers_information_to_none(iris):
    grid = {"vibclassifier__beta": [1e-3, 2.0], "vibclassifier__latent_dim": [2, 4]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(pipeline(), grid, scoring="neg_log_loss", cv=3).fit(*iris)
    assert search.best_params_["vibclassifier__beta"] == 1e-3
    assert search.transform(iris[0]).shape == (150, search.best_params_["vibclassifier__latent_dim"])


def test_randomized_search_runs(iris):
    search = RandomizedSearchCV(pipeline(), {"vibclassifier__beta": [1e-4, 1e-2]}, n_iter=2, cv=3).fit(*iris)
    assert search.best_score_ > 0.85


def test_halving_search_spends_epochs(iris):
    search = HalvingGridSearchCV(
        VIBClassifier(**FAST),
        {"beta": [1e-4, 1e-3, 1e-2, 2.0]},
        resource="max_iter",
        min_resources=10,
        max_resources=40,
        factor=2,
        cv=3,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(*iris)
    assert search.n_resources_ == [10, 20, 40]
    assert search.best_params_["beta"] < 2.0


def test_calibration_keeps_probabilities_proper(iris):
    model = CalibratedClassifierCV(pipeline(), cv=3).fit(*iris)
    assert log_loss(iris[1], model.predict_proba(iris[0])) < 0.3


def test_bagging_averages(iris):
    model = BaggingClassifier(pipeline(), n_estimators=3, random_state=0).fit(*iris)
    assert model.score(*iris) > 0.85


def test_ada_boost_passes_weights(iris, diabetes):
    assert AdaBoostClassifier(VIBClassifier(**FAST), n_estimators=3, random_state=0).fit(*iris).score(*iris) > 0.9
    model = AdaBoostRegressor(VIBRegressor(**FAST), n_estimators=3, random_state=0).fit(*diabetes)
    assert model.score(*diabetes) > 0.4


def test_stacking_uses_its_probabilities(iris):
    model = StackingClassifier([("vib", pipeline())], LogisticRegression(), cv=3).fit(*iris)
    assert model.score(*iris) > 0.9


def test_one_against_the_rest(iris):
    assert OneVsRestClassifier(VIBClassifier(**FAST)).fit(*iris).score(*iris) > 0.9


def test_several_multiclass_outputs(iris):
    X, y = iris
    Y = np.c_[y, (y + 1) % 3]
    assert MultiOutputClassifier(VIBClassifier(**FAST)).fit(X, Y).score(X, Y) > 0.8


def test_transformed_targets(diabetes):
    X, y = diabetes
    model = TransformedTargetRegressor(VIBRegressor(**FAST), func=np.log, inverse_func=np.exp).fit(X, y)
    assert model.score(X, y) > 0.4


def test_self_training_learns_from_unlabelled_rows(iris):
    X, y = iris
    partial = np.where(np.random.default_rng(0).random(150) < 0.6, -1, y)
    assert SelfTrainingClassifier(VIBClassifier(**FAST | {"max_iter": 60})).fit(X, partial).score(X, y) > 0.85


def test_permutation_importance_finds_the_informative_column():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    model = VIBClassifier(**FAST).fit(X, X[:, 1] > 0)
    assert permutation_importance(model, X, X[:, 1] > 0, random_state=0).importances_mean.argmax() == 1


def test_codes_serve_other_models():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(VIBClassifier(latent_dim=8, max_iter=40, random_state=0), KNeighborsClassifier())
    assert model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.94


def test_set_output_names_the_codes(iris):
    import pandas as pd

    X, y = load_iris(return_X_y=True, as_frame=True)
    frame = VIBClassifier(**FAST).set_output(transform="pandas").fit(X, y).transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == ["vibclassifier0", "vibclassifier1", "vibclassifier2"]


def test_a_pipeline_fails_only_what_any_pipeline_fails():
    last = VIBClassifier(max_iter=5, random_state=0), HistGradientBoostingClassifier(max_iter=2)
    failed = []
    for estimator in last:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(make_pipeline(StandardScaler(), estimator), on_fail=None)
        failed.append({result["check_name"] for result in results if result["status"] == "failed"})
    # a Pipeline does not say that it takes gaps
    assert "check_estimators_nan_inf" in failed[1]
    assert failed[0] <= failed[1]


def test_the_html_links_to_the_documentation():
    assert "https://skvib.readthedocs.io" in VIBClassifier()._repr_html_()


# Metadata routing


def test_validation_data_pass_through_a_pipeline(iris, routing):
    X, y = iris
    X = 100 + 10 * X
    order = np.random.default_rng(0).permutation(150)
    train, held_out = order[:100], order[100:]
    model = make_pipeline(StandardScaler(), VIBClassifier(**FAST, early_stopping=True), transform_input=["X_val"])
    model.fit(X[train], y[train], X_val=X[held_out], y_val=y[held_out])
    assert model[-1].best_validation_score_ > -0.4


def test_predict_options_pass_through_a_pipeline(diabetes, routing):
    X, y = diabetes
    model = make_pipeline(StandardScaler(), VIBRegressor(**FAST)).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape
    assert model.predict(X, quantiles=[0.1, 0.9]).shape == (len(y), 2)


def test_predict_options_pass_without_routing(diabetes):
    X, y = diabetes
    model = make_pipeline(StandardScaler(), VIBRegressor(**FAST)).fit(X, y)
    assert model.predict(X, quantiles=[0.1, 0.9]).shape == (len(y), 2)


@pytest.mark.skipif(sklearn.__version__ < "1.7", reason="scikit-learn 1.6 routes no weights to a Pipeline's score")
def test_sample_weights_are_routed_on_request(iris, routing):
    X, y = iris
    weights = np.ones(150)
    model = make_pipeline(
        StandardScaler().set_fit_request(sample_weight=False),
        VIBClassifier(**FAST).set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
    )
    result = cross_validate(model, X, y, cv=3, params={"sample_weight": weights})
    assert result["test_score"].mean() > 0.85


# Callbacks of scikit-learn 1.9

sklearn_callback = pytest.importorskip("sklearn.callback") if sklearn.__version__ >= "1.9" else None
needs_callbacks = pytest.mark.skipif(sklearn_callback is None, reason="callbacks came with scikit-learn 1.9")


class Recorder:
    """A callback that counts, and stops a fit after some epochs or interrupts it."""

    def __init__(self, stop_after=None, interrupt_after=None):
        self.stop_after, self.interrupt_after = stop_after, interrupt_after
        self.events, self.fitted = [], None

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        self.fitted = fitted_estimator
        n_epochs = self.events.count("end epoch")
        if self.interrupt_after == n_epochs and context.task_name == "epoch":
            raise KeyboardInterrupt
        return self.stop_after == n_epochs


@needs_callbacks
def test_callbacks_see_every_epoch_and_a_fitted_estimator(iris):
    X, y = iris
    recorder = Recorder()
    model = VIBClassifier(**FAST).set_callbacks(recorder).fit(X, y)
    assert recorder.events[:3] == ["setup", "begin fit", "begin epoch"]
    assert recorder.events[-2:] == ["end fit", "teardown"]
    assert recorder.events.count("begin epoch") == recorder.events.count("end epoch") == 30
    np.testing.assert_array_equal(recorder.fitted.predict_proba(X), model.predict_proba(X))


class Reader(Recorder):
    """A callback that reads what an estimator says of its training, after each epoch."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.events.append((fitted_estimator.n_iter_, fitted_estimator.best_loss_))
        return False


@needs_callbacks
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_estimator_of_an_epoch_answers_for_it(early_stopping, iris):
    reader = Reader()
    model = VIBClassifier(**FAST, early_stopping=early_stopping)
    model = model.set_params(max_iter=3).set_callbacks(reader).fit(*iris)
    read = [event for event in reader.events if isinstance(event, tuple)]
    assert [epoch for epoch, _ in read] == [1, 2, 3]
    best = [None] * 3 if early_stopping else np.minimum.accumulate(model.loss_curve_).tolist()
    assert [loss for _, loss in read] == best


@needs_callbacks
@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
def test_a_callback_stops_the_fit(estimator_class, iris):
    model = estimator_class(**FAST).set_callbacks(Recorder(stop_after=4)).fit(*iris)
    assert model.n_iter_ == len(model.loss_curve_) == 4


@needs_callbacks
@pytest.mark.parametrize("epoch", [1, 7])
def test_an_interrupted_fit_keeps_its_weights_and_warns(epoch, iris):
    X, y = iris
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        model = VIBClassifier(**FAST).set_callbacks(Recorder(interrupt_after=epoch)).fit(X, y)
    assert model.n_iter_ == epoch
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.isfinite(model.distortion_)


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_progress_bar_reaches_through_search_and_pipeline(n_jobs, iris, capsys):
    bar = sklearn_callback.ProgressBar(max_propagation_depth=None)
    search = GridSearchCV(pipeline(max_iter=3), {"vibclassifier__beta": [1e-3]}, cv=2, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.set_callbacks(bar).fit(*iris)
    assert "VIBClassifier" in capsys.readouterr().out


@needs_callbacks
def test_a_scoring_monitor_records_every_epoch(iris):
    monitor = sklearn_callback.ScoringMonitor(scoring="neg_log_loss")
    VIBClassifier(**FAST).set_callbacks(monitor).fit(*iris)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 30
    assert scores[-1] > scores[0]


# Divergence and interrupts


@pytest.mark.parametrize("batch_size", [32, 150])
@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
def test_a_diverging_fit_keeps_the_best_weights_and_warns(estimator_class, batch_size, iris):
    X, y = iris
    model = estimator_class(**FAST | {"learning_rate_init": 1e6, "batch_size": batch_size})
    with pytest.warns(ConvergenceWarning, match="diverged in epoch .* Lower learning_rate_init"):
        model.fit(X, y)
    assert np.abs(model.transform(X)).max() < 100
    assert np.abs(model.predict(X)).max() < 100
    assert np.isfinite(model.distortion_)


@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
def test_an_interrupt_before_the_first_epoch_ends_leaves_a_fitted_estimator(estimator_class, iris, monkeypatch):
    X, y = iris

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skvib.nn.trainer.loss_terms", interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted by user in epoch 1"):
        model = estimator_class(**FAST).fit(X, y)
    assert model.n_iter_ == 0
    assert np.isnan(model.loss_)
    assert np.isfinite(model.predict(X)).all()


def test_a_failed_refit_leaves_the_fitted_estimator_as_it_was(iris):
    X, y = iris
    model = VIBClassifier(**FAST).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.full_like(X, np.inf), y)
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X[:, :2], X[:, 0])
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert not hasattr(clone(model), "classes_")
