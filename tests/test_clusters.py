"""On joblib's other backends, loky, threading and dask; and each worker's share trained together."""

import joblib
import numpy as np
import pytest
import torch
from models import PLAIN, QUICK, TINY
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score

import skvib.model_selection.grouping
from skvib import BetaSearchCV, VIBClassifier, fit_together

FAST = TINY | QUICK | PLAIN | {"max_iter": 40}
GRID = {"beta": [1e-4, 1e-3, 1e-2]}


@pytest.fixture(scope="module")
def dask_client():
    distributed = pytest.importorskip("distributed", reason="dask is an extra")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def search():
    return GridSearchCV(VIBClassifier(**FAST), GRID, cv=2, scoring="neg_log_loss", n_jobs=2)


def assert_unchanged(found):
    alone = search().set_params(n_jobs=None).fit(*load_iris(return_X_y=True))
    assert found.best_params_ == alone.best_params_
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], atol=1e-5)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_search_is_the_same_on_every_backend(iris, backend):
    with joblib.parallel_config(backend=backend):
        assert_unchanged(search().fit(*iris))


def test_a_search_is_the_same_on_dask(iris, dask_client):
    with joblib.parallel_config(backend="dask"):
        assert_unchanged(search().fit(*iris))


def test_workers_share_the_cores():
    n_threads = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(torch.get_num_threads)() for _ in range(2))
    assert sum(n_threads) <= max(2, joblib.cpu_count())


def test_a_worker_of_dask_has_one_torch_thread(dask_client):
    assert dask_client.submit(torch.get_num_threads).result() == 1


def stacks_of_a_share(seeds):
    """The sizes of the stacks in which a worker trains its share, and the scores."""
    sizes, train = [], skvib.model_selection.grouping.train

    def counting(problems, settings, width):
        sizes.append(len(problems))
        return train(problems, settings, width)

    skvib.model_selection.grouping.train = counting
    try:
        X, y = load_iris(return_X_y=True)
        with fit_together():
            scores = joblib.Parallel()(
                joblib.delayed(cross_val_score)(VIBClassifier(**FAST | {"random_state": seed}), X, y, cv=3)
                for seed in seeds
            )
    finally:
        skvib.model_selection.grouping.train = train
    return sizes, np.mean(scores)


def test_a_worker_trains_its_share_together(dask_client):
    with joblib.parallel_config(backend="dask"):
        shares = joblib.Parallel()(joblib.delayed(stacks_of_a_share)(seeds) for seeds in ([0, 1], [2, 3]))
    assert [sizes for sizes, _ in shares] == [[6], [6]]
    assert min(score for _, score in shares) > 0.5


def test_searches_over_beta_spread_over_workers(iris):
    model = BetaSearchCV(VIBClassifier(**FAST), GRID, cv=2)
    alone = cross_val_score(model, *iris, cv=2)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        spread = cross_val_score(model, *iris, cv=2)
    np.testing.assert_allclose(spread, alone, atol=1e-3)
