"""scikit-learn's own contract, without an expected failure."""

from inspect import cleandoc, signature

import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor

# five epochs do not converge, and some checks fit on a data frame and predict on an array, or the reverse
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names"),
    # a search whose fits or scores fail warns before it raises
    pytest.mark.filterwarnings("ignore:(Scoring failed|\\s*\\d+ fits failed|One or more of the test scores)"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast"),
    pytest.mark.filterwarnings("ignore:The chosen beta"),
]

# scikit-learn runs these on its own estimators, and check_estimator omits them
FURTHER_CHECKS = [
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_get_feature_names_out_error",
    "check_dataframe_column_names_consistency",
    "check_inplace_ensure_writeable",
]


SMALL = {"max_iter": 5, "hidden_layer_sizes": (16,), "latent_dim": 4, "random_state": 0}
ESTIMATORS = [
    VIBClassifier(),
    VIBRegressor(),
    VIBClassifier(**SMALL | {"max_iter": 30}, n_estimators=2),
    VIBRegressor(**SMALL | {"max_iter": 30}, n_estimators=2),
    BetaSearchCV(VIBClassifier(**SMALL), cv=2),
    BetaSearchCV(VIBRegressor(**SMALL), {"beta": [1e-3, 1e-1]}, cv=2),
    BetaSearchCV(make_pipeline(StandardScaler(), VIBClassifier(**SMALL)), {"vibclassifier__beta": [1e-3, 1e-1]}, cv=2),
]


@parametrize_with_checks(ESTIMATORS)
def test_estimator_keeps_the_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "estimator", [VIBClassifier(max_iter=5), VIBRegressor(max_iter=5)], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("name", FURTHER_CHECKS)
def test_estimator_keeps_what_scikit_learn_asks_of_its_own(name, estimator):
    check = getattr(estimator_checks, name)
    check(type(estimator).__name__, estimator)


# how many rows it takes to hold some out, how alpha counts them, and what those without a target do, is of the target
OF_THE_TARGET = {"alpha", "early_stopping", "missing_label"}


def test_shared_parameters_have_the_same_words_and_defaults_in_both_estimators():
    of = [{name: p.default for name, p in signature(e).parameters.items()} for e in (VIBClassifier, VIBRegressor)]
    shared = of[0].keys() & of[1].keys()
    assert of[0].keys() ^ of[1].keys() == {"class_weight", "noise"}
    assert {name: of[0][name] for name in shared} == {name: of[1][name] for name in shared}
    words = [
        {name: (kind, text) for name, kind, text in NumpyDocString(cleandoc(e.__doc__))["Parameters"]}
        for e in (VIBClassifier, VIBRegressor)
    ]
    for name in shared:
        assert words[0][name][0] == words[1][name][0]
        assert name in OF_THE_TARGET or words[0][name][1] == words[1][name][1], name


def test_shared_attributes_have_the_same_words_in_both_estimators():
    words = [
        {name: (kind, text) for name, kind, text in NumpyDocString(cleandoc(e.__doc__))["Attributes"]}
        for e in (VIBClassifier, VIBRegressor)
    ]
    shared = words[0].keys() & words[1].keys()
    assert words[0].keys() ^ words[1].keys() == {"classes_"}
    assert {name: words[0][name] for name in shared} == {name: words[1][name] for name in shared}
