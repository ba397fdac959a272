"""Data frames as they come: categories, strings, and gaps."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from models import PLAIN, TINY, asked, inputs_of
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path, feature_information, mutual_information
from skvib.frames import categorical_columns

FAST = TINY | PLAIN | {"max_iter": 5}
both = pytest.mark.parametrize(
    "estimator", [VIBClassifier(**FAST), VIBRegressor(**FAST)], ids=lambda e: type(e).__name__
)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_frame(n=200, seed=0):
    rng = np.random.default_rng(seed)
    colour = rng.choice(["red", "green", "blue"], n)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.2, np.nan, size),
            "colour": np.where(rng.random(n) < 0.1, None, colour),
            "kind": pd.Categorical(rng.choice(["a", "b"], n)),
            "count": rng.integers(0, 9, n),
            "is_new": rng.random(n) < 0.5,
        }
    )
    return frame, ((colour == "red") ^ (size > 0)).astype(int)


CONTAINERS = {
    "pandas": lambda frame: frame,
    "pandas objects": lambda frame: frame.astype({"colour": object, "kind": object}),
    "pandas strings": lambda frame: frame.astype({"colour": "string", "kind": "string"}),
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


@both
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_frame_is_fitted_and_predicted_in_any_container(container, estimator):
    frame, y = make_frame()
    expected = clone(estimator).fit(frame, y)
    given = CONTAINERS[container](frame)
    model = clone(estimator).fit(given, y)
    assert model.n_features_in_ == 5
    assert list(model.feature_names_in_) == list(frame.columns)
    for rows in (frame, given):
        np.testing.assert_array_equal(model.transform(rows), expected.transform(frame))
    assert len(model.log_likelihood_samples(given, y)) == len(y)


@both
def test_a_frame_is_what_a_column_transformer_makes_of_it(estimator):
    frame, y = make_frame()
    with asked() as problems:
        clone(estimator).fit(frame, y)
        numbers = SimpleImputer(add_indicator=True), ["size", "count", "is_new"]
        prepare = make_column_transformer(numbers, (OneHotEncoder(sparse_output=False), ["colour", "kind"]))
        clone(estimator).fit(prepare.fit_transform(frame.astype({"is_new": float})), y)
    np.testing.assert_allclose(*map(inputs_of, problems), atol=1e-6)


def test_numbers_without_gaps_take_the_same_way_in_a_frame():
    frame, y = make_frame()
    numbers = frame[["count", "is_new"]].assign(size=np.arange(200.0))
    model, expected = (VIBClassifier(**FAST).fit(X, y) for X in (numbers, numbers.to_numpy(float)))
    np.testing.assert_array_equal(model.predict_proba(numbers), expected.predict_proba(numbers.to_numpy(float)))


@both
def test_gaps_in_arrays_are_the_weighted_mean_and_a_flag(estimator):
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(60, 3)), np.arange(60) % 2, rng.integers(1, 4, 60)
    X[:20, 0] = np.nan
    filled = np.c_[X, np.arange(60) < 20]
    filled[:20, 0] = np.average(X[20:, 0], weights=weights[20:])
    with asked() as problems:
        model, _ = (clone(estimator).fit(rows, y, sample_weight=weights) for rows in (X, filled))
    np.testing.assert_allclose(*map(inputs_of, problems), atol=1e-6)
    copies = clone(estimator).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_array_equal(copies.transform(X), model.transform(X))
    order = rng.permutation(60)
    turned = clone(estimator).fit(X[order], y[order], sample_weight=weights[order])
    np.testing.assert_array_equal(turned.transform(X), model.transform(X))
    whole = np.nan_to_num(X)
    np.testing.assert_array_equal(model.transform(sparse.csr_array(whole)), model.transform(whole))


@both
def test_a_gap_that_training_had_not_is_the_mean(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    model = clone(estimator).fit(X, y)
    gap, mean = X[:1].copy(), X[:1].copy()
    gap[0, 1], mean[0, 1] = np.nan, X[:, 1].mean()
    np.testing.assert_allclose(model.transform(gap), model.transform(mean), atol=1e-6)


def test_a_value_that_training_had_not_is_zeros_and_a_gap_is_a_value():
    frame, y = make_frame()
    model = VIBClassifier(**FAST).fit(frame, y)
    rows = frame.iloc[[0, 0, 0]].assign(colour=["red", "violet", None])
    codes = model.transform(rows)
    assert len(np.unique(codes.round(6), axis=0)) == 3
    again = model.transform(rows.assign(colour=["red", "pink", None]))
    np.testing.assert_array_equal(codes, again)


@pytest.mark.parametrize("wanted", [[1], ["colour"], [False, True, False], np.array([1])])
def test_categories_are_named_counted_or_masked(wanted):
    X = pd.DataFrame({"size": [1.0, 2.0], "colour": [3, 4], "kind": ["a", "b"]})
    assert categorical_columns(X, wanted) == [1]
    assert categorical_columns(X, "from_dtype") == [2]
    assert categorical_columns(X, None) == []
    if not any(isinstance(one, str) for one in wanted):
        array = np.c_[np.arange(40.0), np.arange(40) % 3, np.arange(40) % 2]
        model = VIBClassifier(**FAST, categorical_features=wanted).fit(array, np.arange(40) % 3)
        known = np.array([[1.0, 2, 0]])  # a prediction without any known value is warned of
        codes = [model.transform(np.r_[known, [[1.0, unknown, 0]]])[1] for unknown in (7, 9)]
        np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize("wanted", [["weight"], [5], [-1], [True, False], [1.5]])
def test_categories_that_are_no_columns_are_refused(wanted):
    frame, y = make_frame()
    with pytest.raises(ValueError, match="categorical_features"):
        VIBClassifier(**FAST, categorical_features=wanted).fit(frame, y)


def test_what_cannot_be_read_is_refused():
    frame, y = make_frame()
    model = VIBClassifier(**FAST).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"size": "length"}))
    with pytest.raises(ValueError, match="hold strings, but are no categorical_features: colour, kind"):
        VIBClassifier(**FAST, categorical_features=None).fit(frame, y)
    array = np.c_[np.arange(40.0), np.arange(40) % 3]
    of_arrays = VIBClassifier(**FAST, categorical_features=[1]).fit(array, np.arange(40) % 2)
    with pytest.raises(TypeError, match="no sparse matrix"):
        of_arrays.predict(sparse.csr_array(array))
    infinite = frame.assign(count=np.where(np.arange(200) == 3, np.inf, 1.0))
    with pytest.raises(ValueError, match="infinity"):
        VIBClassifier(**FAST).fit(infinite, y)


@both
def test_frames_in_streams_validation_and_weights(estimator):
    frame, y = make_frame()
    model = (
        clone(estimator).set_params(early_stopping="auto").fit(frame[:150], y[:150], X_val=frame[150:], y_val=y[150:])
    )
    assert len(model.validation_scores_) == model.n_iter_
    classes = {"classes": [0, 1]} if hasattr(model, "classes_") else {}
    stream = clone(estimator).partial_fit(frame[:100], y[:100], **classes).partial_fit(frame[100:], y[100:])
    assert np.isfinite(stream.transform(frame)).all()
    assert stream.n_features_in_ == 5


def test_rows_of_zero_weight_teach_no_category():
    frame, y = make_frame()
    weights = np.where(frame["colour"] == "blue", 0.0, 1.0)
    model = VIBClassifier(**FAST).fit(frame, y, sample_weight=weights)
    kept = weights > 0
    expected = VIBClassifier(**FAST).fit(frame[kept], y[kept])
    np.testing.assert_array_equal(model.transform(frame), expected.transform(frame))


@both
def test_models_of_frames_are_stored(estimator):
    frame, y = make_frame()
    model = clone(estimator).fit(frame, y)
    trusted = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    assert trusted == [f"{type(model).__module__}.{type(model).__name__}"]
    for other in (pickle.loads(pickle.dumps(model)), skops.io.loads(skops.io.dumps(model), trusted=trusted)):
        np.testing.assert_array_equal(other.transform(frame), model.transform(frame))


def test_searches_paths_and_measures_speak_of_the_columns_given():
    frame, y = make_frame(400)
    model = VIBClassifier(**TINY, max_iter=40).fit(frame, y)
    found = feature_information(model, frame, y, n_replacements=4)
    assert list(found.names) == list(frame.columns)
    lost = dict(zip(found.names, found.y_lost, strict=True))
    assert min(lost["colour"], lost["size"]) > max(lost["kind"], lost["count"])
    assert mutual_information(model, frame, y).y_lower > 0
    search = BetaSearchCV(VIBClassifier(**FAST), {"beta": [1e-3, 1e-1]}, cv=2).fit(frame, y)
    assert search.n_features_in_ == 5
    path = beta_path(VIBClassifier(**FAST), frame, y, betas=[1e-3, 1e-1])
    assert np.isfinite(path.at_beta(1e-2).predict_proba(frame)).all()


def test_a_frame_in_one_line_predicts_as_well_as_behind_a_column_transformer():
    frame, y = make_frame(1200)
    numbers = SimpleImputer(add_indicator=True), ["size", "count", "is_new"]
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour", "kind"]
    frame = frame.astype({"is_new": float})

    def loss(*steps):
        models = [make_pipeline(*steps, VIBClassifier(max_iter=60, random_state=seed)) for seed in range(4)]
        return np.mean([log_loss(y[800:], m.fit(frame[:800], y[:800]).predict_proba(frame[800:])) for m in models])

    inside, outside = loss(), loss(make_column_transformer(numbers, categories))
    assert inside == pytest.approx(outside, abs=0.02)
    assert inside < 0.5


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_column_of_names_is_refused_and_one_of_many_values_is_not(container):
    rng = np.random.default_rng(0)
    y = np.arange(1200) % 2
    ids = {"size": rng.normal(size=1200), "id": [f"C{k:05d}" for k in range(1200)]}
    with pytest.raises(ValueError, match=r"Column 'id' of X has 1200 values in 1200 rows.*Drop an identifier"):
        VIBClassifier(**FAST).fit(container(ids), y)
    zips = {**ids, "id": [f"{k:05d}" for k in rng.integers(300, size=1200)]}
    VIBClassifier(**FAST).fit(container(zips), y)
    few = {name: values[:200] for name, values in ids.items()}  # of few rows nobody knows
    VIBClassifier(**FAST).fit(container(few), y[:200])


def test_values_that_are_no_categories_are_refused_with_the_column():
    frame = pd.DataFrame({"tags": [["a", "b"]] * 60, "x": np.arange(60.0)})
    with pytest.raises(TypeError, match="Column 'tags' of X holds values that are no categories: unhashable"):
        VIBClassifier(**FAST).fit(frame, np.arange(60) % 2)


def test_strings_beside_the_columns_named_are_told_by_name():
    frame, y = make_frame(200)
    with pytest.raises(ValueError, match="hold strings, but are no categorical_features: kind. Name them there, too"):
        VIBClassifier(**FAST, categorical_features=["colour"]).fit(frame, y)


def test_a_column_without_any_known_value_is_told():
    frame, y = make_frame(200)
    model = VIBClassifier(**FAST).fit(frame, y)
    with pytest.warns(UserWarning, match="No value of column 'colour' of X was there in training, such as 'RED'"):
        model.predict(frame.assign(colour="RED"))
    with pytest.warns(UserWarning, match="No value of column 'colour'.*such as 'RED'"):
        model.predict(frame.assign(colour=["RED"] * 5 + [None] * 195))
    with pytest.warns(UserWarning, match="No value of column 'kind'.*such as 3; it had '"):
        model.predict(frame[:1].assign(kind=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(frame.assign(colour=["RED", *frame["colour"][1:]]))
        model.predict(frame[:3].assign(colour="RED"))  # few rows may all be of rare values
        model.predict(frame.assign(colour=None))


A_HALF = ["x", "y"] * 30
ODD = {
    "integers with gaps": lambda base: base.assign(size=pd.array([1, None] * 30, dtype="Int64")),
    "booleans with gaps": lambda base: base.assign(more=pd.array([True, None] * 30, dtype="boolean")),
    "a column of gaps": lambda base: base.assign(more=np.nan),
    "a column of None": lambda base: base.assign(more=[None] * 60),
    "categories of numbers": lambda base: base.assign(more=pd.Categorical([1, 2] * 30)),
    "strings among numbers": lambda base: base.assign(more=[1, "z"] * 30),
    "categories alone": lambda base: base[["kind"]],
    "names that are numbers": lambda base: base.set_axis([0, 1], axis=1),
    "polars, gaps alone": lambda base: pl.DataFrame({"size": [1.0, 2.0] * 30, "kind": [None] * 60}),
    "polars categories": lambda base: pl.DataFrame({"kind": pl.Series(A_HALF, dtype=pl.Categorical)}),
    "a dictionary of pyarrow": lambda base: pa.table({"kind": pa.array(A_HALF).dictionary_encode()}),
    "lists": lambda base: [[1.0, None], [2.0, 3.0]] * 30,
    "an array of objects": lambda base: np.array([[1.0, None], [2.0, 3.0]] * 30, dtype=object),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_columns_are_fitted_and_a_row_is_predicted_as_among_others(odd):
    X = ODD[odd](pd.DataFrame({"size": np.arange(60.0), "kind": A_HALF}))
    model = VIBClassifier(**FAST).fit(X, np.arange(60) % 2)
    codes = model.transform(X)
    assert np.isfinite(codes).all()
    one = X.slice(0, 1) if isinstance(X, pa.Table) else X[:1]
    np.testing.assert_allclose(model.transform(one), codes[:1], atol=1e-6)


def test_skrub_puts_its_encoders_in_front():
    skrub = pytest.importorskip("skrub")
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 365, 300), "D")
    frame = pd.DataFrame({"x": rng.normal(size=300), "job": rng.choice(["nurse", "cook"], 300), "day": days})
    frame.loc[::9, "x"] = np.nan
    y = (frame["job"] == "cook") & (days.month > 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = skrub.tabular_pipeline(VIBClassifier(max_iter=60, random_state=0)).fit(frame[:200], y[:200])
    assert model.score(frame[200:], y[200:]) > 0.9


def test_strings_in_an_array_are_refused_with_the_mend():
    X = np.array([["a", 1.0], ["b", 2.0]] * 10, dtype=object)
    with pytest.raises(
        ValueError, match="could not convert string to float: 'a'. Name columns of strings in categorical"
    ):
        VIBClassifier(**TINY).fit(X, [0, 1] * 10)
    VIBClassifier(**TINY, max_iter=1, categorical_features=[0]).fit(X, [0, 1] * 10)
