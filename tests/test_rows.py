"""Rows as a weighted set: what is equal, what counts, and whose columns are whose."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from skvib.containers import targets_array, with_columns_of
from skvib.rows import Moments, WeightedRows, change, collapse, fingerprint, weighted_moments

tables = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(-2, 2).map(float))


@given(tables, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_set_of_rows_is_its_distinct_rows_and_how_often_each_is_there(X, seed):
    rng = np.random.default_rng(seed)
    y, weights = rng.integers(0, 2, len(X)), rng.integers(0, 4, len(X)).astype(float)
    rows, totals, twins = collapse(X, y, weights)
    counted = {}
    for x, label, weight in zip(map(tuple, X), y, weights, strict=True):
        counted[x, label] = counted.get((x, label), 0.0) + weight
    assert dict(zip(zip(map(tuple, X[rows]), y[rows], strict=True), totals, strict=True)) == {
        row: weight for row, weight in counted.items() if weight
    }
    for row, twin in enumerate(twins):
        assert twin <= row or not len(twins)
        np.testing.assert_array_equal(X[rows[twin]], X[rows[row]])


@given(tables, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_neither_order_nor_container_changes_the_set(X, seed):
    rng = np.random.default_rng(seed)
    y, weights, order = rng.integers(0, 2, len(X)), rng.random(len(X)) + 0.1, rng.permutation(len(X))
    rows, totals, twins = collapse(X, y, weights)
    for other, of in ((X[order], order), (sparse.csr_matrix(X), np.arange(len(X)))):
        found, weighed, same_x = collapse(other, y[of], weights[of])
        np.testing.assert_array_equal(X[of][found], X[rows])
        np.testing.assert_array_equal(weighed, totals)
        np.testing.assert_array_equal(same_x, twins)
        assert fingerprint(other, y[of], found, weighed) == fingerprint(X, y, rows, totals)


def test_a_fingerprint_knows_rows_and_weights():
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    rows, weights = np.arange(6), np.ones(6)
    prints = [
        fingerprint(X, y, rows, weights),
        fingerprint(X, y, rows[1:], weights[1:]),
        fingerprint(X, y, rows, 2.0 * weights),
        fingerprint(X, y + 1, rows, weights),
        fingerprint(2.0 * X, y, rows, weights),
    ]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_moments_are_those_of_the_rows_as_often_as_they_weigh(container, offset):
    rng = np.random.default_rng(0)
    X, weights = offset + rng.normal(size=(50, 3)), rng.integers(1, 5, 50).astype(float)
    moments = weighted_moments(container(X), np.arange(50), weights)
    copies = np.repeat(X - offset, weights.astype(int), axis=0)
    np.testing.assert_allclose(moments.mean - offset, copies.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(moments.deviation, copies.std(axis=0), rtol=1e-6)
    assert moments.weight == weights.sum()


def test_moments_of_two_pieces_are_those_of_both():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1.0, 10.0, 0.0]
    first = weighted_moments(X, np.arange(20), np.ones(20))
    both = first.merged(weighted_moments(X, np.arange(20, 60), np.ones(40), first.common))
    whole = weighted_moments(X, np.arange(60), np.ones(60))
    for name in ("mean", "deviation", "filled", "weight"):
        np.testing.assert_allclose(getattr(both, name), getattr(whole, name), atol=1e-12)


def test_a_change_of_scale_says_the_same_of_a_value():
    zeros = np.zeros(2)
    before = Moments(np.array([1.0, 5.0]), np.array([2.0, 0.0]), zeros, 10.0, zeros)
    after = Moments(np.array([3.0, 6.0]), np.array([4.0, 1.0]), zeros, 20.0, zeros)
    ratio, shift = change(before, after, before.scale, after.scale)
    x = np.array([7.0, 8.0])
    now = (x - after.mean) / after.scale
    scale = np.array([2.0, 1.0])  # a column that was constant has no scale but the new one
    np.testing.assert_allclose(ratio * now + shift, (x - before.mean) / scale)
    assert change(before, before, before.scale, before.scale) is None


def test_weighted_rows_are_those_of_their_indices():
    X, y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    rows = WeightedRows(X, y, np.array([3, 1]), np.array([1.0, 3.0]))
    assert len(rows) == 2
    np.testing.assert_array_equal(rows.own_targets, [1, 1])
    np.testing.assert_allclose(rows.moments().mean, [3.0, 4.0])
    kept = rows.at(np.array([0]), np.array([5.0]))
    assert kept.rows.tolist() == [3]
    assert kept.weights.tolist() == [5.0]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_columns_of_other_rows_replace_those_alone(container):
    X = np.array([[1.0, 0.0, 3.0], [0.0, 5.0, 6.0], [7.0, 8.0, 0.0]])
    found = with_columns_of(container(X), [0, 2], np.array([2, 0, 1]))
    found = found.toarray() if sparse.issparse(found) else np.asarray(found)
    np.testing.assert_array_equal(found, [[7.0, 0.0, 0.0], [1.0, 5.0, 3.0], [0.0, 8.0, 6.0]])


def test_targets_are_arrays_whatever_holds_them():
    column = np.array([[1], [2]])
    for y in (column, pd.DataFrame(column), sparse.csr_matrix(column)):
        assert targets_array(y).tolist() == [1, 2]
    assert targets_array(np.array([["a", "b"]])).shape == (1, 2)
