"""What y is: labels, indicators or numbers. A value that checks, encodes and scales targets, and that is stored as
plain attributes of the estimator.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from skvib.checks import LARGEST
from skvib.rows import Moments, change, weighted_moments


class Target(ABC):
    """What the targets of an estimator are.

    A new one has the methods marked abstract; the others say that targets are neither weighted nor scaled. Encoded
    targets are arrays (n,) or (n, n_outputs) of what the likelihood takes.
    """

    likelihood: str  # its name in skvib.nn.likelihoods.LIKELIHOODS
    n_outputs: int  # of the likelihood
    n_rows_to_hold_out = 100  # distinct ones, from which on early_stopping="auto" holds some out
    n_alternatives = 2  # that a row decides between
    is_guessed = False  # whether the targets that rows lack are
    least_rows = 0  # that alpha is divided by
    units = 0.0  # what is added to a distortion of scaled targets for one in the units of y, nats

    @abstractmethod
    def attributes(self):
        """What of it the fitted estimator stores, by name."""

    @abstractmethod
    def encode(self, y):
        """y as encoded targets; a ValueError if it is not what was learned."""

    def check(self, y, classes, is_incremental):
        """Raise if y of a fit that continues is not what the first one learned."""
        self.encode(y)

    def factors(self, class_weight, targets, weights):
        """By what the weight of each row is multiplied."""
        return np.ones(len(weights))

    def entropy(self, targets, weights):
        """H(Y) in nats, the loss of a code that says nothing; None if it bounds nothing."""
        return None

    def diversity(self, targets):
        """How much the targets differ, as a share of the most that they could."""
        return 1.0

    def strata(self, targets):
        """The labels that a held-out set has in proportion; None of other targets."""
        return None

    def is_learned_by(self, targets):
        """Whether these are enough to learn from."""
        return True

    def standardized_by(self, targets, weights):
        """Itself, with a scale learned from these rows."""
        return self

    def following(self, targets, weights, weight_before):
        """Itself after further rows, since those of so much weight; and how what is scaled has changed, or None."""
        return self, None

    def tensor(self, targets, dtype=np.float32):
        """Encoded targets in the units of the network."""
        return torch.from_numpy(targets.astype(dtype))


def learned_classes(y, classes):
    """The Target that the y of a classifier is."""
    check_classification_targets(y)
    kind = type_of_target(y, input_name="y")
    if kind == "multiclass-multioutput":
        raise ValueError(
            "y holds several multiclass columns, which is not supported: wrap the estimator in "
            "sklearn.multioutput.MultiOutputClassifier."
        )
    if kind == "multilabel-indicator":
        target = Indicators(np.arange(y.shape[1]))
        target.check_classes(classes)
        return target
    return Labels(np.unique(column_or_1d(y) if classes is None else classes))


@dataclass(frozen=True, eq=False)
class Classes(Target):
    """Targets that `classes` name: one of them for each row or, `is_multilabel`, any number."""

    least_rows = 30
    is_multilabel: ClassVar[bool]
    classes: np.ndarray

    @property
    def n_outputs(self):
        return len(self.classes)

    def attributes(self):
        n_outputs = len(self.classes) if self.is_multilabel else 1
        return {"classes_": self.classes, "n_outputs_": n_outputs, "_is_multilabel": self.is_multilabel}

    @abstractmethod
    def present(self, y):
        """The classes that y holds."""

    @abstractmethod
    def entropies(self, p):
        """Of predicted probabilities (n, n_outputs), (n,), nats."""

    def check(self, y, classes, is_incremental):
        check_classification_targets(y)
        is_indicator = type_of_target(y, input_name="y") == "multilabel-indicator" and y.ndim == 2
        if is_indicator != self.is_multilabel:
            raise ValueError("y is a multilabel indicator in one call and not in another.")
        self.check_classes(classes)
        present = self.present(y)
        if not is_incremental and not np.array_equal(present, self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes}, `y` has {present}"
            )

    def check_classes(self, classes):
        if classes is not None and not np.array_equal(np.unique(classes), self.classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as the classes of the data or of the previous call to "
                f"partial_fit, {self.classes}: pass the same ones, or none."
            )


class Labels(Classes):
    """One of several labels for each row, encoded as its index."""

    likelihood, is_multilabel = "categorical", False
    is_guessed = True

    @property
    def n_alternatives(self):
        return max(2, len(self.classes))

    def present(self, y):
        return np.unique(y)

    def entropies(self, p):
        return _entropies_of(p).sum(axis=1)

    def encode(self, y):
        y = column_or_1d(y, warn=True)
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"y holds labels that are not among the known classes {self.classes}: {unknown}. They must "
                "be in the y of `fit`, or in the `classes` of the first partial_fit."
            )
        return np.searchsorted(self.classes, y)

    def tensor(self, targets, dtype=None):
        return torch.from_numpy(targets)

    def strata(self, targets):
        return targets

    def factors(self, class_weight, targets, weights):
        if class_weight is None:
            return super().factors(class_weight, targets, weights)
        labels = self.classes.tolist()
        if isinstance(class_weight, str):
            counts = np.bincount(targets, weights, minlength=len(labels))
            counts = np.where(counts > 0, counts, np.inf)
            return (weights.sum() / (np.isfinite(counts).sum() * counts))[targets]
        unweighted = [label for label in labels if label not in class_weight]
        unused = [label for label in class_weight if label not in labels]
        values = [class_weight.get(label, 1.0) for label in labels]
        is_usable = all(isinstance(value, Real) and 0.0 <= value <= LARGEST for value in values)
        if (unweighted and unused) or not is_usable:
            raise ValueError(
                f"class_weight must give non-negative finite weights to labels among {labels}; got {class_weight}."
            )
        return np.array(values, dtype=float)[targets]

    def diversity(self, targets):
        """Gini's index over that of labels equally frequent."""
        shares, n_labels = np.bincount(targets) / len(targets), len(self.classes)
        return float((1.0 - np.sum(shares**2)) / (1.0 - 1.0 / n_labels)) if n_labels > 1 else 1.0

    def entropy(self, targets, weights):
        """Of the labels' shares."""
        return _entropy_of(np.bincount(targets, weights) / weights.sum())


class Indicators(Classes):
    """A zero or a one for each of several labels."""

    likelihood, is_multilabel = "bernoulli", True

    def present(self, y):
        return np.arange(y.shape[1])

    def entropies(self, p):
        return (_entropies_of(p) + _entropies_of(1.0 - p)).sum(axis=1)

    def encode(self, y):
        if y.ndim != 2 or y.shape[1] != len(self.classes):
            raise ValueError(f"y must be an indicator with {len(self.classes)} columns.")
        return y.astype(np.float64)

    def factors(self, class_weight, targets, weights):
        if class_weight is not None:
            raise ValueError("class_weight is not defined for multilabel y: use sample_weight.")
        return super().factors(class_weight, targets, weights)

    def diversity(self, targets):
        """The mean of Gini's index over columns."""
        p = targets.mean(axis=0)
        return float(np.mean(4.0 * p * (1.0 - p)))

    def entropy(self, targets, weights):
        """Summed over the columns."""
        p = np.average(targets, axis=0, weights=weights)
        return _entropy_of(np.concatenate([p, 1.0 - p]))


def _entropies_of(p):
    return -p * np.log(np.where(p > 0, p, 1.0))


def _entropy_of(p):
    entropy = np.sum(_entropies_of(p))
    return float(entropy) if entropy > 0 else None


@dataclass(frozen=True, eq=False)
class Numbers(Target):
    """Numbers, standardised; a row of y has this `shape`. A column that was constant has a deviation of 0.

    NaN is an output that is not known; `known_share` is that of the rows' weight that has each.
    """

    # a network that knows its targets by heart predicts hardly any noise, and one wrong by that is very wrong
    n_rows_to_hold_out = 20

    likelihood: str
    shape: tuple
    mean: np.ndarray | None = None
    deviation: np.ndarray | None = None
    scale: np.ndarray | None = None
    known_share: np.ndarray | float = 1.0

    @property
    def n_outputs(self):
        return int(np.prod(self.shape, dtype=int))

    def attributes(self):
        plain = {"_y_shape": self.shape, "n_outputs_": self.n_outputs}
        if self.scale is None:
            return plain
        moments = {"_y_mean": self.mean, "_y_deviation": self.deviation, "_y_scale": self.scale}
        return plain | moments | {"_y_known_share": self.known_share}

    def encode(self, y):
        if y.shape[1:] != self.shape:
            raise ValueError(f"y has shape {y.shape}, but the estimator was fitted on (n_samples, {self.n_outputs}).")
        return y.astype(np.float64).reshape(-1, self.n_outputs)

    def standardized_by(self, targets, weights):
        if not self.is_learned_by(targets):
            unknown = np.flatnonzero(~np.isfinite(targets).any(axis=0)).tolist()
            raise ValueError(
                f"No row to train on has the outputs {unknown} of y: leave these columns out, or begin with rows that "
                "have them."
            )
        return self._with(_moments_of(targets, weights), weights.sum())

    def is_learned_by(self, targets):
        return bool(np.isfinite(targets).any(axis=0).all())

    def _with(self, moments, weight):
        parts = {"mean": moments.mean, "deviation": moments.deviation, "scale": moments.scale}
        return replace(self, **parts, known_share=moments.weight / weight)

    def following(self, targets, weights, weight_before):
        nothing = np.zeros_like(self.scale)
        before = Moments(self.mean, self.deviation, nothing, weight_before * self.known_share, nothing)
        after = before.merged(_moments_of(targets, weights))
        later = self._with(after, weight_before + weights.sum())
        return later, change(before, after, self.scale, later.scale)

    def tensor(self, targets, dtype=np.float32):
        """Where some are not known, (n, 2 * n_outputs): the targets, and which are known.

        In place of one that is not known stands -log(scale), its loss, which is 0 when `units` are added.
        """
        scaled, known = (targets - self.mean) / self.scale, np.isfinite(targets)
        if not known.all():
            scaled = np.hstack([np.where(known, scaled, -np.log(self.scale)), known])
        return torch.from_numpy(scaled.astype(dtype))

    def strata(self, targets):
        """Of the outputs that a row has, the one that fewest rows have; None where all rows have all."""
        known = np.isfinite(targets)
        return None if known.all() else np.argmin(np.where(known, known.sum(axis=0), np.inf), axis=1)

    @property
    def units(self):
        return float(np.log(self.scale).sum())

    def entropy(self, targets, weights):
        """That of a Gaussian with the variances of y."""
        if not self.deviation.all():
            return None
        shares = np.average(np.isfinite(targets), axis=0, weights=weights)
        return float(shares @ (0.5 * np.log(2.0 * np.pi * np.e) + np.log(self.scale)))

    def unscaled(self, values, mean=0.0):
        """Scaled outputs (n, n_outputs, ...), a tensor, in the units and the shape of y about a mean, float64.

        A target that was constant is predicted as what it was.
        """
        values = values.cpu().double()
        parts = (self.deviation, mean)
        spread, mean = (torch.from_numpy(np.broadcast_to(part, self.deviation.shape).copy()) for part in parts)
        columns = (slice(None),) + (None,) * (values.ndim - 2)
        values = values * spread[columns] + mean[columns]
        return values.view(len(values), *self.shape, *values.shape[2:])


def _moments_of(targets, weights):
    """The Moments of each output over the rows that have it, and their weight (n_outputs,)."""
    known = np.isfinite(targets)
    if known.all():
        moments = weighted_moments(targets, np.arange(len(targets)), weights)
        return moments._replace(weight=np.full(targets.shape[1:], moments.weight))
    columns = [_moments_of_known(column, weights) for column in targets.T]
    names = ("mean", "deviation", "filled", "weight", "common")
    return Moments(*(np.concatenate([getattr(column, name) for column in columns]) for name in names))


def _moments_of_known(column, weights):
    rows, nothing = np.flatnonzero(np.isfinite(column)), np.zeros(1)
    if not len(rows):
        return Moments(nothing, nothing, nothing, nothing, nothing)
    moments = weighted_moments(column[:, np.newaxis], rows, weights[rows])
    return moments._replace(weight=np.full(1, moments.weight))
