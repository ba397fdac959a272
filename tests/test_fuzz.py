"""Random shapes, dtypes, scales, constant and duplicate columns: a clear error or finite predictions."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skvib import VIBClassifier, VIBRegressor


@st.composite
def datasets(draw):
    n_rows, n_columns = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n_rows, n_columns)) * 10.0 ** draw(st.floats(-30, 30))
    X += draw(st.sampled_from([0.0, 1.0])) * 10.0 ** draw(st.floats(-30, 30))
    for column in range(n_columns):
        kind = draw(st.sampled_from(["as it is", "constant", "duplicate", "other scale"]))
        if kind == "constant":
            X[:, column] = X[0, column]
        elif kind == "duplicate":
            X[:, column] = X[:, 0]
        elif kind == "other scale":
            X[:, column] *= 10.0 ** draw(st.floats(-5, 5))
    with np.errstate(over="ignore", invalid="ignore"):
        X = np.nan_to_num(X.astype(draw(st.sampled_from([np.float64, np.float32]))))
    if draw(st.booleans()):
        X = np.repeat(X, 2, axis=0)
    y = rng.integers(draw(st.integers(1, 4)), size=len(X))
    if draw(st.booleans()):
        X = sparse.csr_array(X)
    return X, y, 10.0 ** draw(st.floats(-30, 30))


@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=datasets(), standardize=st.booleans())
def test_a_clear_error_or_finite_predictions(estimator_class, data, standardize):
    X, y, scale = data
    model = estimator_class(hidden_layer_sizes=(4,), latent_dim=2, max_iter=2, standardize=standardize, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(X, y if estimator_class is VIBClassifier else y * scale)
        except ValueError as error:
            assert "overflows float" in str(error)
            return
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.transform(X)).all()
    if estimator_class is VIBClassifier:
        assert np.isfinite(model.predict_proba(X)).all()
