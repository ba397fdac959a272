"""BaseVIB: what the estimators share - from rows and parameters to a problem, and from its training to attributes."""

from __future__ import annotations

import copy
import inspect
from abc import ABCMeta, abstractmethod
from contextvars import ContextVar
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skvib.checks import warn_of_raw_validation, weighed
from skvib.guesses import GUESS, POWER, is_less_than_trusted, needs_no_judge, trust_in_guesses
from skvib.hints import refuse_unknown
from skvib.holdout import held_out_of
from skvib.monitor import CallbackSupportMixin, fit_monitor, warn_of_training, with_callbacks
from skvib.nn.problem import Problem, penalty_of, resolve_device, restandardized
from skvib.nn.trainer import train
from skvib.nuisances import asked_groups, warn_of_small_groups
from skvib.private import fit_context
from skvib.reading import inputs_of, read_rows, read_validation, tensors_of
from skvib.rows import Moments, WeightedRows, change, collapse, fingerprint, ramp_edges, told
from skvib.specification import (
    AUTO_BATCH_SIZES,
    CONSTRAINTS,
    architecture_of,
    check_unchanged,
    encoder_of,
    n_bins_of,
    n_steps_of,
    settings_of,
    settings_of_a_piece,
    shaping_of,
)
from skvib.trained import TrainedVIB
from skvib.typing import MatrixLike
from skvib.unlabelled import rows_with_target

N_PIECES = 1000  # of a stream are known again
# What trains problems: `fit_together` sets another function for its tasks, which waits for their companions
train_problems = ContextVar("train_problems", default=train)


def succeeded(trainings):
    """The trainings, if all are: what a monitor raised takes the place of its own in a stack of several."""
    for training in trainings:
        if isinstance(training, BaseException):
            raise training
    return trainings


class BaseVIB(TrainedVIB, CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta):
    """The estimators' common part; use VIBClassifier or VIBRegressor."""

    _parameter_constraints = CONSTRAINTS
    # a validation set and a nuisance need no request from their user: `Pipeline(transform_input=["X_val"])` does
    __metadata_request__fit = {"X_val": True, "y_val": True, "sample_weight_val": True, "nuisance": True}

    _doc_link_module = "skvib"
    _doc_link_template = "https://skvib.readthedocs.io/en/stable/generated/skvib.{estimator_name}.html"

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        # else help() and editors show the signature of __new__
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)

    def __new__(cls, *args, **params):
        refuse_unknown(cls, params)
        return super().__new__(cls)

    @abstractmethod
    def _learned_target(self, y, classes):
        """The Target that y is; `classes` are the labels there will ever be, or None."""

    @with_callbacks
    @fit_context
    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        nuisance: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs. More dimensions are accepted with an `encoder` for them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k is the same as k copies of the row: divide survey weights by their mean.
        X_val, y_val : array-like, default=None
            Validation rows. Unless `early_stopping=False` they decide which epoch's weights are kept; their
            log-likelihood is in `validation_scores_`. In a Pipeline, use
            ``Pipeline(..., transform_input=["X_val"])`` with metadata routing enabled.
        sample_weight_val : array-like, default=None
            Weights of the validation rows.
        nuisance : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            What the code is not to tell, at the weight `invariance`: labels, or floating-point numbers, which are
            binned at their deciles. Of several columns every combination is a group.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, a shape, a label or a weight is not usable, before any training.
        """
        if (X_val is None) != (y_val is None):
            given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise ValueError(f"{given} was passed without {missing}: pass both or neither.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val was passed without X_val and y_val.")
        validation = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, nuisance, validation)

    def _fit(self, X, y, sample_weight, nuisance=None, validation=None, incremental=False, classes=None):
        """Train a working copy; self takes its state only when all went well."""
        monitor = None if incremental else fit_monitor(self, X, y, sample_weight)
        model = copy.copy(self)
        if monitor is not None:
            monitor.model = model
        self._forget_network()
        model._train((X, y, sample_weight, nuisance), validation, incremental, classes, monitor)
        if monitor is not None:
            monitor.end_fit()
        self.__dict__ = vars(model)
        return self

    def _train(self, given, validation, incremental, classes, monitor):
        device = resolve_device(self.device)
        continues = self._is_trained and (incremental or self.warm_start)
        self._members = [copy.copy(one) for one in self._members]
        *given_rows, nuisance = given
        X, y, weights, known = read_rows(self, *given_rows, reset=not continues, warn=True)
        groups = asked_groups(nuisance, weights, self.invariance)
        self._learn_target(y, classes, continues, incremental)
        collapsed = self._collapsed(X, y, weights, known, groups)
        rows, parts = self._split(*collapsed, asks=validation is None and not incremental)
        self._trust = 0.0
        self._learn(rows, continues, incremental)
        can_guess = self._architecture.get("guesses") and (rows.own_guessable & ~rows.own_known).any()
        if can_guess and not incremental:
            self._trust = trust_in_guesses(self, rows.labelled(), device)
            if self.early_stopping == "auto" and needs_no_judge(self, collapsed[0]):
                rows, parts = self._split(*collapsed, asks=False)
                self._learn(rows, continues, incremental)
        if validation is not None:
            held_out = read_validation(self, *validation)
            warn_of_raw_validation(rows, held_out)
            parts = [(training, held_out) for training, _ in parts]
        if groups is not None and not incremental:
            warn_of_small_groups(groups, weights, len(rows) / n_steps_of(self, len(rows)))
        settings = self._settings(device, rows, parts[0][1], incremental)
        self._stops_on_validation = settings.stop_on == "validation"
        members = self._new_members(continues)
        problems = self._problems(members, parts, continues, monitor)
        trainings = self._trained(problems, settings)
        # a code that leaves something out may rightly tell less of the labels
        if self._trust and groups is None and is_less_than_trusted(self, trainings, rows):
            known_given = rows_with_target(*given_rows, self.missing_label)
            return self._train((*known_given, nuisance), validation, incremental, classes, None)
        self._take(members, trainings, problems[0], keeps_state=incremental or self.warm_start, continues=continues)
        rows = rows.labelled()
        entropy = None if incremental else self._target.entropy(rows.own_targets, rows.weights)
        warn_of_training(self, trainings, settings, entropy, len(rows))

    def _learn_target(self, y, classes, continues, incremental):
        """What y is, and the seed of all draws; a fit that continues knows them."""
        if continues:
            check_unchanged(self, getattr(self, "_shaped_by", {}))
            self._target.check(y, classes, incremental)
        else:
            self._set_target(self._learned_target(y, classes))
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)

    def _set_target(self, target):
        vars(self).update(target.attributes())

    def _collapsed(self, X, y, weights, known, groups):
        """The distinct rows; for each of them the first with the same x, and the factor of its class."""
        target = self._target
        targets, factors = target.encode(y), np.ones(len(weights))
        labelled = slice(None) if known is None else known
        if known is not None:
            targets[~known] = 0
        factors[labelled] = target.factors(getattr(self, "class_weight", None), targets[labelled], weights[labelled])
        distinct, weights, twins = collapse(X, told(targets, known, groups), weights * (factors > 0))
        rows = WeightedRows(X, targets, distinct, weights, known, groups)
        if not rows.own_known.any():
            raise ValueError("No row has a positive weight: check sample_weight and class_weight.")
        return rows, twins, factors[distinct]

    def _split(self, rows, twins, factors, asks):
        """Rows that train, and of each network rows to train on and those that early stopping holds out, or None.

        They are weighed by the factors of their classes. Fits that no seed tells apart hold out the same, so they can
        share a training.
        """

        def part(weights):
            kept = np.flatnonzero(weights > 0)
            return rows.at(kept, weighed(weights[kept], factors[kept]))

        is_automatic = self.early_stopping == "auto"
        is_enough = rows.own_known.sum() >= self._target.n_rows_to_hold_out
        asks = asks and (is_enough if is_automatic else self.early_stopping)
        if not asks:
            whole = part(rows.weights)
            return whole, [(whole, None)] * self.n_estimators
        seeds = [k if self.random_state is None else self._seed_of(k) for k in range(self.n_estimators)]
        held_out = [held_out_of(rows, twins, self._target, self.validation_fraction, seed) for seed in seeds]
        if all(weights is not None for weights in held_out):
            parts = [(part(rows.weights - weights), part(weights)) for weights in held_out]
            return part(rows.weights - np.minimum.reduce(held_out)), parts
        if is_automatic:
            return self._split(rows, twins, factors, asks=False)
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")

    def _learn(self, rows, continues, incremental):
        """What is learned of the training rows before a network is."""
        if not continues:
            self._learn_inputs(rows)
            self._learn_scale(rows, incremental)
        self._count(rows, continues, incremental)

    def _learn_inputs(self, rows):
        """The standardisation of the inputs, and the architecture, from the training rows alone."""
        shape = rows.X.shape[1:]
        self._encoder = encoder_of(self, self._seed, shape)
        nothing = np.zeros(shape)
        moments = Moments(nothing, nothing + 1.0, nothing + 1.0, 0.0, nothing)
        self._input_square = 1.0
        if self.standardize:
            moments = rows.moments().of_channels() if self.encoder == "conv" else rows.moments()
        elif self._encoder is None:
            self._input_square = rows.mean_square()
        self._set_x_moments(moments)
        self._ramp_columns, self._ramp_edges = ramp_edges(rows.X, rows.rows, n_bins_of(self, rows.X), moments.deviation)
        n_ramps = self._ramp_edges[:, 1:].size
        self._architecture = architecture_of(self, self._target, shape, self._encoder, self._seed, n_ramps)
        self._n_features_out = self.latent_dim  # of each network
        self._shaped_by = shaping_of(self)

    def _set_x_moments(self, moments):
        self._x_mean, self._x_deviation, self._x_filled, _, self._x_common, _ = moments
        self._x_scale = moments.scale_of_inputs

    def _learn_scale(self, rows, incremental):
        """The scale of the targets, and how much they differ."""
        target, rows = self._target, rows.labelled()
        self._diversity = 1.0 if incremental else target.diversity(rows.own_targets)
        self._set_target(target.standardized_by(rows.own_targets, rows.weights))

    def _count(self, rows, continues, incremental):
        """Count the rows seen; a piece of a stream that comes again is another epoch, and counts once."""
        if not (continues and incremental):
            self._n_seen, self._weight_seen, self._pieces = 0, 0.0, np.zeros(0, dtype=np.uint64)
            self._unlabelled_seen, self._is_stream = 0.0, incremental
        if incremental and len(rows) > 1:
            piece = fingerprint(rows.X, told(rows.targets, rows.known, rows.groups), rows.rows, rows.weights)
            if piece in self._pieces:
                return
            self._pieces = np.append(self._pieces[1 - N_PIECES :], piece)
        if continues and incremental and self._weight_seen:  # the oldest stored models do not know theirs
            self._follow(rows)
        labelled = rows.labelled()
        weight = float(labelled.weights.sum())
        self._n_seen, self._weight_seen = self._n_seen + len(labelled), self._weight_seen + weight
        self._unlabelled_seen += float(rows.weights.sum()) - weight

    def _follow(self, rows):
        """Let the moments follow the stream; the network is changed so that it says the same of every row.

        At the start of a stream, of fewer rows and epochs than a batch has rows, a deviation is a guess and the network
        has hardly moved: until then it keeps its weights. A user's module has no first layer to change, and keeps the
        moments of the first piece.
        """
        is_settled = not self._is_stream or max(self._n_seen, self._n_epochs) >= AUTO_BATCH_SIZES[0]
        inputs = None
        if self.standardize and self._encoder is None:
            scale, deviation = self._x_scale, getattr(self, "_x_deviation", self._x_scale)
            filled = getattr(self, "_x_filled", np.ones_like(scale))
            common = getattr(self, "_x_common", np.zeros_like(scale))
            before = Moments(self._x_mean, deviation, filled, self._weight_seen + self._unlabelled_seen, common)
            after = before.merged(rows.moments(common))
            self._set_x_moments(after)
            inputs = change(before, after, scale, self._x_scale)
        rows = rows.labelled()
        target, outputs = self._target.following(rows.own_targets, rows.weights, self._weight_seen)
        self._set_target(target)
        if is_settled and (inputs or outputs):
            for one in self.estimators_:
                one._weights = restandardized(one._state(), one._bare_network(), inputs, outputs).numpy()

    def _settings(self, device, rows, held_out, incremental):
        if incremental:
            return settings_of_a_piece(self, self._architecture, device, len(rows))
        return settings_of(self, self._architecture, device, held_out is not None)

    def _problems(self, members, parts, continues, monitor):
        """What each network learns."""
        n_steps = [n_steps_of(self, len(rows)) for rows, _ in parts]
        parts = [(rows if rows.known is None else rows.balanced(), held_out) for rows, held_out in parts]
        sets = (rows for part in parts for rows in part if rows is not None)
        inputs = inputs_of(sets, self._x_mean, self._x_scale)
        mean_weight = self._weight_seen / self._n_seen

        def tensors(rows, mean_weight):
            return tensors_of(rows, inputs[id(rows)], self._target, mean_weight, GUESS * self._trust)

        return [
            Problem(
                rows=tensors(rows, mean_weight if rows.known is None else np.mean(rows.weights)),
                betas=(float(self.beta),),
                latent_dim=self.latent_dim,
                seed=member._seed,
                n_steps=n_steps[k],
                penalty=self._penalty(),
                input_square=self._input_square,
                invariance=0.0 if rows.groups is None else float(self.invariance),
                any_seed=self.random_state is None,
                member=k,
                validation=held_out and tensors(held_out, np.mean(held_out.weights)),
                edges=self._edges(),
                encoder=member._encoder,
                start=member._state() if continues else None,
                monitors=() if monitor is None else (monitor.of_member(k, member),),
            )
            for k, (member, (rows, held_out)) in enumerate(zip(members, parts, strict=True))
        ]

    def _penalty(self):
        n_rows = max(self._weight_seen, self._n_seen, self._target.least_rows)
        n_rows += self._trust**POWER * self._unlabelled_seen
        return penalty_of(self.alpha, n_rows, getattr(self, "_diversity", 1.0), self._target.n_alternatives)

    def _trained(self, problems, settings):
        try:
            return succeeded(train_problems.get()(problems, settings))
        finally:
            if settings.device.startswith("cuda"):
                torch.cuda.empty_cache()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.encoder is None
        tags.input_tags.allow_nan = self.encoder is None
        tags.input_tags.three_d_array = self.encoder is not None
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
