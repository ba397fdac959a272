"""BetaSearchCV and one_standard_error."""

import warnings

import numpy as np
import pytest
import sklearn
from models import QUICK, SMALL
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, fit_together, one_standard_error
from skvib.model_selection.choice import log_likelihood_score

FAST = SMALL | QUICK | {"max_iter": 30}
GRID = {"beta": [1e-4, 1e-2, 1.0]}


@pytest.fixture(scope="module")
def friedman():
    X, y = make_friedman1(600, noise=1.0, random_state=0)
    return train_test_split(X, y, random_state=0)


def test_the_default_search_is_over_thirteen_betas_by_log_loss(iris):
    search = BetaSearchCV(make_pipeline(StandardScaler(), VIBClassifier(**FAST))).fit(*iris)
    assert list(search.cv_results_["params"][0]) == ["vibclassifier__beta"]
    assert np.allclose(search.cv_results_["param_vibclassifier__beta"].astype(float), np.geomspace(1e-5, 1, 13))
    assert -0.5 < search.best_score_ < 0
    assert search.best_estimator_[-1].beta == search.best_params_["vibclassifier__beta"] < 1
    assert search.param_grid is search.scoring is None
    assert search.transform(iris[0]).shape == (150, 3)
    assert search.predict_proba(iris[0]).shape == (150, 3)


@pytest.mark.filterwarnings("ignore:The chosen beta")  # digits hold little noise
def test_both_methods_choose_nearly_the_same():
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    scores = []
    for method in ("amortized", "exact"):
        search = BetaSearchCV(VIBClassifier(**FAST | {"latent_dim": 8}), method=method, cv=3)
        scores.append(search.fit(X_train, y_train).score(X_test, y_test))
    assert scores[0] == pytest.approx(scores[1], abs=0.08)


@pytest.mark.parametrize(("sign", "advice"), [(1, "linear model"), (-1, "smaller one may do")])
def test_an_end_of_the_grid_is_said(sign, advice, iris):
    search = BetaSearchCV(VIBClassifier(**FAST | {"max_iter": 3}), cv=2, scoring=lambda vib, X, y: sign * vib.beta)
    with pytest.warns(UserWarning, match=f"The chosen beta, .*end of the grid.*{advice}"):
        search.fit(*iris)


@pytest.mark.parametrize("estimator", [VIBClassifier(**FAST), make_pipeline(StandardScaler(), VIBRegressor(**FAST))])
def test_a_search_that_finds_nothing_says_so(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(2, size=200)
    with pytest.warns(ConvergenceWarning, match="No candidate predicts much better than without X"):
        BetaSearchCV(estimator, cv=3).fit(X, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "No candidate")
        BetaSearchCV(estimator, cv=3).fit(np.c_[X, y + 0.3 * rng.normal(size=200)], y)


def test_the_exact_method_is_grid_search(iris):
    search = BetaSearchCV(VIBClassifier(**FAST), GRID, method="exact", cv=3).fit(*iris)
    plain = GridSearchCV(VIBClassifier(**FAST), GRID, scoring="neg_log_loss", cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain.fit(*iris)
    assert search.best_params_ == plain.best_params_
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], atol=1e-5)
    np.testing.assert_allclose(search.predict_proba(iris[0]), plain.predict_proba(iris[0]), atol=1e-5)


def test_the_refit_is_what_the_chosen_parameters_give_alone(iris):
    search = BetaSearchCV(VIBClassifier(**FAST), GRID, cv=3).fit(*iris)
    alone = VIBClassifier(**{**FAST, **search.best_params_}).fit(*iris)
    assert search.best_estimator_.rate_ == alone.rate_
    np.testing.assert_array_equal(search.predict_proba(iris[0]), alone.predict_proba(iris[0]))


def test_regressors_are_chosen_by_log_likelihood(friedman):
    X_train, X_test, y_train, y_test = friedman
    model = make_pipeline(StandardScaler(), VIBRegressor(**FAST))
    search = BetaSearchCV(model, cv=3).fit(X_train, y_train)
    direct = search.best_estimator_[-1].log_likelihood_samples(search.best_estimator_[:-1].transform(X_test), y_test)
    assert search.score(X_test, y_test) == pytest.approx(direct.mean())
    betas = search.cv_results_["param_vibregressor__beta"].astype(float)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ > scores[np.argmax(betas)] + 0.3  # below, the curve is flat


@pytest.mark.filterwarnings("ignore:No candidate predicts much better")  # of so few epochs
def test_multilabel_targets_are_chosen_by_log_likelihood(iris):
    X, y = iris
    Y = np.c_[y > 0, y > 1].astype(int)
    search = BetaSearchCV(VIBClassifier(**FAST), GRID, cv=2).fit(X, Y)
    assert search.score(X, Y) == pytest.approx(search.best_estimator_.log_likelihood_samples(X, Y).mean())


def test_predict_forwards_options(friedman):
    X_train, X_test, y_train, _ = friedman
    search = BetaSearchCV(VIBRegressor(**FAST), GRID, cv=2).fit(X_train, y_train)
    mean, std = search.predict(X_test, return_std=True)
    assert mean.shape == std.shape == (150,)
    assert search.predict(X_test, quantiles=[0.1, 0.9]).shape == (150, 2)


def test_one_standard_error_compresses_more(iris):
    best = BetaSearchCV(VIBClassifier(**FAST), cv=5).fit(*iris)
    search = BetaSearchCV(VIBClassifier(**FAST), cv=5, selection="1se").fit(*iris)
    assert search.best_params_["beta"] > best.best_params_["beta"]
    splits = [best.cv_results_[f"split{split}_test_score"][best.best_index_] for split in range(5)]
    assert best.best_score_ - np.std(splits, ddof=1) / np.sqrt(5) <= search.best_score_ <= best.best_score_
    assert search.best_estimator_.rate_ < best.best_estimator_.rate_
    assert search.refit is True


def test_one_standard_error_serves_any_search(iris):
    grid = {"vibclassifier__beta": [1e-3, 1e-2, 1e-1, 1.0], "vibclassifier__latent_dim": [1, 3]}
    model = make_pipeline(StandardScaler(), VIBClassifier(**FAST))
    search = GridSearchCV(model, grid, scoring="neg_log_loss", refit=one_standard_error)
    with warnings.catch_warnings(), fit_together():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(*iris)
    assert search.best_params_["vibclassifier__beta"] < 1
    unrefitted = BetaSearchCV(model, grid, selection="1se", refit=False, method="exact").fit(*iris)
    assert unrefitted.best_params_ == search.best_params_
    assert not hasattr(unrefitted, "best_estimator_")
    assert not hasattr(unrefitted, "predict")


def results(scores, params):
    return {
        "params": params,
        "mean_test_score": np.mean(scores, axis=0),
        **{f"split{i}_test_score": np.array(row) for i, row in enumerate(scores)},
    }


def test_among_equal_betas_the_smaller_latent_is_more_compressed():
    params = [{"beta": 0.1, "latent_dim": 8}, {"beta": 0.1, "latent_dim": 2}, {"beta": 0.01, "latent_dim": 1}]
    assert one_standard_error(results([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]], params)) == 1


def test_a_candidate_without_score_is_not_chosen():
    params = [{"vib__beta": beta} for beta in (0.1, 1.0, 10.0)]
    assert one_standard_error(results([[1.0, 0.9, np.nan], [1.2, 1.1, np.nan]], params)) == 1
    with pytest.raises(ValueError, match="finite score"):
        one_standard_error(results([[np.nan], [np.nan]], params[:1]))


@pytest.mark.parametrize(
    ("cv_results", "match"),
    [
        ({"mean_test_a": [1.0], "params": [{"beta": 1.0}]}, "single metric"),
        (results([[1.0], [2.0]], [{"alpha": 1.0}]), "needs a search over beta"),
    ],
)
def test_one_standard_error_says_what_it_needs(cv_results, match):
    with pytest.raises(ValueError, match=match):
        one_standard_error(cv_results)


def test_grids_of_several_parameters_and_a_beta_of_zero(iris):
    grid = [{"beta": [0.0, 1e-3, 1e-1], "latent_dim": [1, 2]}, {"beta": [1e-3], "hidden_layer_sizes": [(4,)]}]
    search = BetaSearchCV(VIBClassifier(**FAST), grid, cv=3).fit(*iris)
    assert len(search.cv_results_["params"]) == 7
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore:The chosen beta")
def test_a_vib_step_in_the_middle_is_found(iris):
    model = make_pipeline(StandardScaler(), VIBClassifier(**FAST), KNeighborsClassifier())
    search = BetaSearchCV(model, cv=3).fit(*iris)
    assert search.score(*iris) > -1.0
    assert search.predict(iris[0]).shape == (150,)


@pytest.mark.filterwarnings("ignore:No candidate predicts much better")  # of so few epochs
def test_with_two_vib_steps_each_keeps_its_own_beta(iris):
    model = make_pipeline(VIBClassifier(**FAST | {"beta": 1e-2}), VIBRegressor(**FAST))
    search = BetaSearchCV(model, {"vibregressor__beta": [1e-3, 1e-2]}, cv=2).fit(*iris)
    assert search.best_estimator_[0].beta == 1e-2
    assert search.best_estimator_[1].beta == search.best_params_["vibregressor__beta"]


def test_a_model_without_beta_may_be_in_the_grid(iris):
    grid = [{"model": [VIBClassifier(**FAST)], "model__beta": [1e-3, 1e-2]}, {"model": [LogisticRegression()]}]
    search = BetaSearchCV(Pipeline([("model", VIBClassifier())]), grid, cv=2, selection="1se").fit(*iris)
    assert "model__beta" in search.best_params_


def test_searches_nest(iris):
    scores = cross_val_score(BetaSearchCV(VIBClassifier(**FAST), GRID, cv=2), *iris, cv=3)
    with fit_together(method="amortized"):
        together = cross_val_score(BetaSearchCV(VIBClassifier(**FAST), GRID, cv=2), *iris, cv=3)
    np.testing.assert_allclose(together, scores, atol=1e-3)


def test_sample_weights_reach_fits_and_scores(friedman):
    X, _, y, _ = friedman
    y = np.where(np.arange(len(y)) % 2 == 0, y, 0.0)
    weights = np.where(np.arange(len(y)) % 2 == 0, 1.0, 1e-6)
    search = BetaSearchCV(VIBRegressor(**FAST), GRID, cv=3).fit(X, y, sample_weight=weights)
    rows = weights == 1.0
    assert search.best_score_ > -3.0
    assert search.best_estimator_.score(X[rows], y[rows]) > 0.5


def test_sample_weights_are_routed(friedman):
    X, _, y, _ = friedman
    with sklearn.config_context(enable_metadata_routing=True):
        model = VIBRegressor(**FAST).set_fit_request(sample_weight=True)
        search = BetaSearchCV(model, GRID, cv=2).fit(X, y, sample_weight=np.ones(len(y)))
    assert np.isfinite(search.best_score_)


def test_a_scorer_without_log_likelihood_says_so(friedman):
    X, _, y, _ = friedman
    model = TransformedTargetRegressor(VIBRegressor(**FAST))
    with pytest.raises(TypeError, match="pass another `scoring`"):
        log_likelihood_score(model.fit(X, y), X, y)
    with pytest.raises(TypeError, match="pass `scoring`"):
        BetaSearchCV(model).fit(X, y)
    search = BetaSearchCV(model, {"regressor__beta": [1e-2, 1e-1]}, scoring="r2", cv=2).fit(X, y)
    assert search.best_score_ > 0.5


def test_arguments_are_checked_before_any_training(iris):
    model = VIBClassifier(**FAST)
    with pytest.raises(ValueError, match="'method' parameter"):
        BetaSearchCV(model, method="fast").fit(*iris)
    with pytest.raises(ValueError, match="'selection' parameter"):
        BetaSearchCV(model, selection="2se").fit(*iris)
    with pytest.raises(ValueError, match="leave refit=True"):
        BetaSearchCV(model, selection="1se", refit="accuracy").fit(*iris)
    with pytest.raises(TypeError, match="needs a VIBClassifier"):
        BetaSearchCV(LogisticRegression()).fit(*iris)
    with pytest.raises(ValueError, match="several betas"):
        BetaSearchCV(make_pipeline(model, VIBClassifier())).fit(*iris)
    with pytest.raises(ValueError, match="single metric"):
        BetaSearchCV(model, selection="1se", scoring=["accuracy", "neg_log_loss"]).fit(*iris)
    with pytest.raises(ValueError, match="needs a search over beta"):
        BetaSearchCV(model, {"latent_dim": [1, 2]}, selection="1se").fit(*iris)
    with pytest.raises(ValueError, match="requires y"):
        BetaSearchCV(model).fit(iris[0])
    with pytest.raises(NotFittedError):
        BetaSearchCV(model).predict(iris[0])


def test_a_failed_search_leaves_the_parameters(iris):
    search = BetaSearchCV(VIBClassifier(**FAST), {"beta": [-1.0]}, error_score="raise", selection="1se")
    with pytest.raises(ValueError, match="beta"):
        search.fit(*iris)
    assert search.scoring is None
    assert search.refit is True


def test_no_warning_of_a_collapse_inside_a_path(iris):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BetaSearchCV(VIBClassifier(**FAST), cv=2).fit(*iris)


@pytest.mark.parametrize("cv", [LeaveOneOut(), KFold(10)])
def test_a_fold_that_lacks_labels_has_a_score(cv, iris):
    X, y = iris[0][::5], iris[1][::5]
    search = BetaSearchCV(VIBClassifier(**FAST | {"max_iter": 3}), GRID, cv=cv).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_over_an_ensemble_scores_folds_that_lack_labels(iris):
    X, y = iris[0][:100], iris[1][:100]
    model = CalibratedClassifierCV(VIBClassifier(**FAST | {"max_iter": 3}), cv=2)
    folds = [(np.arange(100) % 50 >= 10, np.arange(10)), (np.arange(100) % 50 >= 10, np.arange(50, 60))]
    search = BetaSearchCV(model, {"estimator__beta": [1e-3, 1e-1]}, cv=folds).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore:Scoring failed")
@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_a_search_without_a_finite_score_raises_before_the_refit_and_says_why(iris, monkeypatch):
    X, y = iris
    search = BetaSearchCV(VIBClassifier(**FAST | {"max_iter": 3}), GRID, cv=KFold(3), method="exact")
    with pytest.raises(ValueError, match=r"No candidate has a finite score.*split0.* not among the known classes"):
        search.fit(X, y)
    assert not hasattr(search, "best_estimator_")
    with pytest.raises(ValueError, match="No candidate has a finite score"):
        search.set_params(scoring=lambda *args: np.nan, cv=3).fit(X, y)


def test_a_search_is_a_step_with_names_and_containers(iris):
    frame = load_iris(as_frame=True).data
    search = BetaSearchCV(VIBClassifier(**FAST), GRID, cv=2)
    codes = clone(search).set_output(transform="pandas").fit(frame, iris[1]).transform(frame)
    assert codes.columns.tolist() == ["vibclassifier0", "vibclassifier1", "vibclassifier2"]
    columns = ColumnTransformer([("codes", search, frame.columns[:2]), ("rest", "passthrough", frame.columns[2:])])
    table = columns.set_output(transform="pandas").fit_transform(frame, iris[1])
    assert table.columns.tolist() == [
        *(f"codes__{name}" for name in codes.columns),
        *(f"rest__{c}" for c in frame.columns[2:]),
    ]
    assert columns.set_output(transform="default").fit_transform(frame, iris[1]).shape == (150, 5)
    after = make_pipeline(clone(search).set_output(transform="polars"), KNeighborsClassifier()).fit(*iris)
    assert after[:-1].get_feature_names_out().tolist() == codes.columns.tolist()
