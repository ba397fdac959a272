"""Problems made here, on which defaults once went wrong: a function each of a seed, with known oracles.

Each returns (X, y, X_test, y_test). Sizes are those of its signature; `bins` of calibration are `N_BINS`.
"""

import numpy as np

N_BINS = 10
NOISES = "normal", "t3", "skewed", "proportional"


def split(X, y, n_rows):
    return X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]


def sine(seed, n_rows=1000, n_test=2000, noise=0.01):
    """Four periods of a sine with little noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n_rows + n_test)
    y = 0.4 * np.sin(8 * np.pi * x) + noise * rng.normal(size=len(x))
    return split(x[:, None], y, n_rows)


def zero_inflated(seed, n_rows=2000, n_test=4000):
    """Mostly 0, where a linear score is below a threshold; above, a positive amount that grows with another."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows + n_test, 8))
    amount = np.exp(0.5 * X[:, 2] + 0.3 * X[:, 3] + 0.3 * rng.normal(size=len(X)))
    y = np.where(X[:, 0] + X[:, 1] > 0.5, amount, 0.0)
    return split(X, y, n_rows)


def smooth_table(seed, n_rows=3000, n_test=3000):
    """Sixteen features, a smooth function of all of them, no noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows + n_test, 16))
    linear, bent = rng.normal(size=(16, 1)), rng.normal(size=(16, 4)) / 4
    y = (X @ linear).squeeze() / 4 + 0.5 * np.sin(X @ bent).sum(axis=1)
    return split(X, y, n_rows)


def noisy_regression(seed, kind, n_rows=100, n_test=2000):
    """A linear truth in five features, with noise that is normal, t3, skewed, or proportional to abs(x)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows + n_test, 5))
    draws = {
        "normal": lambda size: rng.normal(size=size),
        "t3": lambda size: rng.standard_t(3, size=size) / np.sqrt(3),
        "skewed": lambda size: rng.exponential(size=size) - 1.0,
        "proportional": lambda size: np.abs(X[:, 0]) * rng.normal(size=size),
    }
    y = X @ np.array([1.0, -0.5, 0.5, 0.0, 0.0]) + draws[kind](len(X))
    return split(X, y, n_rows)


def near_linear_classes(seed, n_classes, n_rows=100, n_test=5000):
    """Classes whose logits are linear but for a small square."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows + n_test, 10))
    weights = rng.normal(size=(10, n_classes)) * (1.0 if n_classes == 2 else 0.8)
    logits = X @ weights + 0.1 * (X**2) @ rng.normal(size=(10, n_classes))
    return split(X, sampled(logits, rng), n_rows)


def rare_flags(seed, n_rows=4000, n_test=4000, n_flagged=100):
    """Ten linear columns and five flags, each 1 in three training rows and in `n_flagged` test rows of all.

    A flag says nothing of the label. Only the flagged rows are returned as test rows.
    """
    rng = np.random.default_rng(seed)
    X = np.zeros((n_rows + n_test, 15))
    X[:, :10] = rng.normal(size=(len(X), 10))
    for flag in range(10, 15):
        X[rng.choice(n_rows, 3, replace=False), flag] = 1.0
    X[n_rows + np.arange(n_flagged), 10 + np.arange(n_flagged) % 5] = 1.0
    weights = np.r_[rng.normal(size=10), np.zeros(5)]
    y = sampled(np.column_stack([np.zeros(len(X)), 2.0 * (X @ weights)]), rng)
    return X[:n_rows], y[:n_rows], X[n_rows : n_rows + n_flagged], y[n_rows : n_rows + n_flagged]


def rare_class(seed, n_rows=10_000, n_test=20_000, n_positive=40):
    """40 positives in 10,000 rows, by a linear score of five of twenty columns."""
    rng = np.random.default_rng(seed)

    def part(size, positives):
        X, y = rng.normal(size=(size, 20)), np.zeros(size, dtype=int)
        score = X[:, :5].sum(axis=1) + 0.2 * rng.logistic(size=size)
        y[np.argsort(-score)[:positives]] = 1
        return X, y

    return *part(n_rows, n_positive), *part(n_test, n_positive * n_test // n_rows)


def noisy_mixtures(seed, n_rows=3500, n_test=5000, n_columns=40, distance=4.0):
    """Three normal classes in 40 columns that overlap, and a twentieth of the labels drawn at random."""
    rng = np.random.default_rng(seed)
    centers = distance * rng.normal(size=(3, n_columns)) / np.sqrt(2 * n_columns)
    y = rng.integers(3, size=n_rows + n_test)
    X = centers[y] + rng.normal(size=(len(y), n_columns))
    is_drawn = rng.uniform(size=len(y)) < 0.05
    return split(X, np.where(is_drawn, rng.integers(3, size=len(y)), y), n_rows)


def spiky_columns(rng, n_rows, n_columns=12):
    """Columns that are mostly 0, and else amounts with a long tail: from half of the rows down to one in a hundred."""
    shares = np.geomspace(0.5, 0.01, n_columns)
    amounts = rng.lognormal(sigma=1.0, size=(n_rows, n_columns))
    return np.where(rng.uniform(size=amounts.shape) < shares, amounts, 0.0)


def spiky_classes(seed, n_rows=3000, n_test=0):
    """Three classes by spiky columns, by whether they are filled and by how much."""
    rng = np.random.default_rng(seed)
    X = spiky_columns(rng, n_rows + n_test)
    logits = (X > 0) @ rng.normal(size=(12, 3)) + np.log1p(X) @ rng.normal(size=(12, 3))
    return split(X, sampled(logits, rng), n_rows)


def spiky_regression(seed, n_rows=3000, n_test=0):
    """An amount that spiky columns add up to, each by its logarithm."""
    rng = np.random.default_rng(seed)
    X = spiky_columns(rng, n_rows + n_test)
    y = (X > 0) @ rng.normal(size=12) + np.log1p(X) @ rng.normal(size=12) + 0.3 * rng.normal(size=len(X))
    return split(X, y, n_rows)


def discrete_table(seed, n_rows=3000, n_test=0):
    """Three columns of four levels; each of the 64 cells has its own odds of two labels."""
    rng = np.random.default_rng(seed)
    X = rng.integers(4, size=(n_rows + n_test, 3))
    logits = 1.5 * rng.normal(size=(4, 4, 4))[tuple(X.T)]
    return split(X.astype(float), sampled(np.column_stack([np.zeros(len(X)), logits]), rng), n_rows)


def many_rows(seed, n_rows=40_000, n_test=20_000):
    """Fifty columns and five noisy classes, by a linear and a bent part of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows + n_test, 50))
    bent = 2.0 * np.tanh(X @ rng.normal(size=(50, 20)) / 3) @ rng.normal(size=(20, 5))
    return split(X, sampled((X @ rng.normal(size=(50, 5)) / 2 + bent) / 2, rng), n_rows)


def sampled(logits, rng):
    """A label for each row of logits."""
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
