"""BaseVIB: what the estimators share - parameters, validation, rows -> problem -> nn.train, encoding."""

import copy
import inspect
import math
from abc import ABCMeta, abstractmethod
from contextvars import ContextVar
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from skvib.checks import (
    LARGEST,
    check_total,
    checked_schedule,
    checked_targets,
    layer_sizes,
    refuse_dates,
    warn_of_raw_validation,
    weighed,
)
from skvib.fitted import FittedVIB, sparse_rows
from skvib.hints import refuse_unknown
from skvib.holdout import held_out_weights
from skvib.monitor import CallbackSupportMixin, fit_monitor, warn_of_training, with_callbacks
from skvib.nn.encoders import n_outputs_of, own_module, set_buffers
from skvib.nn.layers import ACTIVATIONS
from skvib.nn.network import Architecture
from skvib.nn.problem import (
    SCHEDULES,
    Problem,
    Rows,
    Settings,
    State,
    check_memory,
    penalty_of,
    resolve_device,
    restandardized,
)
from skvib.nn.trainer import train
from skvib.rows import (
    Moments,
    canonical,
    change,
    collapse,
    fingerprint,
    plain_targets,
    positive,
    rows_of,
    standardized,
    weighted_moments,
)

AUTO_BATCH_SIZES = 32, 200
N_PIECES = 1000  # of a stream are known again
MAX_EPOCHS, MAX_DRAWS = 2**31 - 1, 10**6
MAX_LATENT_DIM = 21_201  # so many dimensions quasi-random points have
# parameters that decide what the network is
SHAPING = ("latent_dim", "activation", "noise", "encoder", "standardize")
# What trains problems: `fit_together` sets another function for its tasks, which waits for their companions
train_problems = ContextVar("train_problems", default=train)
fit_context = _fit_context(prefer_skip_nested_validation=True)


class BaseVIB(FittedVIB, CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta):
    """The estimators' common part; use VIBClassifier or VIBRegressor."""

    _parameter_constraints = {
        "beta": [Interval(Real, 0, LARGEST, closed="both")],
        "latent_dim": [Interval(Integral, 1, MAX_LATENT_DIM, closed="both")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "decoder_hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "encoder": [callable, None],
        "n_train_draws": [Interval(Integral, 1, MAX_DRAWS, closed="both")],
        "n_predict_draws": [Interval(Integral, 0, MAX_DRAWS, closed="both")],
        "standardize": ["boolean"],
        "learning_rate_init": [Interval(Real, 0, LARGEST, closed="right")],
        "learning_rate": [StrOptions(set(SCHEDULES)), callable],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, MAX_EPOCHS, closed="both")],
        "alpha": [Interval(Real, 0, LARGEST, closed="both")],
        "beta_warmup": [Interval(Real, 0, 1, closed="left")],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "tol": [Interval(Real, 0, LARGEST, closed="both")],
        "warm_start": ["boolean"],
        "device": [str],
        "autocast": [StrOptions({"bfloat16"}), None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }
    # a validation set needs no request from its user: `Pipeline(transform_input=["X_val"])` does
    __metadata_request__fit = {"X_val": True, "y_val": True, "sample_weight_val": True}

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

    # of how many distinct rows early_stopping="auto" holds some out
    _n_rows_to_hold_out = 100

    # What a target is: the subclass sets the attributes that describe it

    @abstractmethod
    def _learn_targets(self, y, classes):
        """Set classes_, n_outputs_ and what else describes the targets, but for their scale."""

    @abstractmethod
    def _check_targets(self, y, classes, incremental):
        """Raise if y of a continued fit is not what the first call described."""

    @abstractmethod
    def _encode_targets(self, y):
        """y as an array (n,) or (n, n_outputs) of what the likelihood takes."""

    @abstractmethod
    def _class_weights(self, targets, weights, incremental):
        """The factor of each row's weight."""

    @abstractmethod
    def _likelihood(self):
        """Name of q(y|z) in skvib.nn.likelihoods.LIKELIHOODS."""

    @abstractmethod
    def _entropy(self, targets, weights):
        """H(Y) in nats: the loss of a code that says nothing; None if it bounds nothing."""

    def _diversity_of(self, targets):
        """How much the targets differ, as a share of the most that they could."""
        return 1.0

    def _learn_scale(self, targets, weights):
        """Set the scale of the encoded targets."""

    def _follow_targets(self, targets, weights):
        """Let the scale follow further targets; how standardised ones change, or None."""

    def _scale_targets(self, targets):
        """Encoded targets in the units of the network."""
        return targets

    def _units(self):
        """What is added to a distortion of encoded targets for one in the units of y, nats."""
        return 0.0

    # Fitting

    @with_callbacks
    @fit_context
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network to X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs. More dimensions are accepted with an `encoder` of your own.
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
        return self._fit(X, y, sample_weight, validation)

    def _fit(self, X, y, sample_weight, validation=None, incremental=False, classes=None):
        """Prepare and train a working copy; self takes its state only when all went well."""
        monitor = None if incremental else fit_monitor(self, X, y, sample_weight)
        model = copy.copy(self)
        device = resolve_device(self.device)
        continues = hasattr(self, "_weights") and (incremental or self.warm_start)
        X, y, weights = model._read_rows(X, y, sample_weight, reset=not continues, warn=True)
        if continues:
            model._check_unchanged()
            model._check_targets(y, classes, incremental)
        else:
            model._learn_targets(y, classes)
            model._seed = check_random_state(self.random_state).randint(2**31 - 1)
        targets = model._encode_targets(y)
        factors = model._class_weights(targets, weights, incremental)
        rows, weights, twins = collapse(X, targets, weights * (factors > 0))
        if not len(rows):
            raise ValueError("No row has a positive weight: check sample_weight and class_weight.")
        given = validation is not None
        if not (given or incremental):
            rows, weights, validation = model._split(X, targets, rows, weights, twins, factors)
        weights = weighed(weights, factors[rows])
        if not continues:
            model._diversity = 1.0 if incremental else model._diversity_of(targets[rows])
            model._learn_inputs(X, rows, weights)
            model._learn_scale(targets[rows], weights)
        model._count(X, targets, rows, weights, continues, incremental)
        if given:
            validation = model._read_validation(*validation)
            warn_of_raw_validation(X, rows, weights, *validation)
        if monitor is not None:
            monitor.model = model
        mean_weight = model._weight_seen / model._n_seen
        settings = model._settings(validation is not None, incremental, device, len(rows))
        model._stops_on_validation = settings.stop_on == "validation"
        self._forget_network()
        try:
            (training,) = train_problems.get()(
                [
                    Problem(
                        rows=model._to_tensors(X, targets, rows, weights, mean_weight),
                        betas=(float(self.beta),),
                        latent_dim=self.latent_dim,
                        seed=model._seed,
                        n_steps=model._n_steps_of(len(rows)),
                        penalty=model._penalty(),
                        any_seed=self.random_state is None,
                        validation=validation and model._to_tensors(*validation, np.mean(validation[-1])),
                        encoder=model._encoder,
                        start=model._state() if continues else None,
                        monitors=() if monitor is None else (monitor,),
                    )
                ],
                settings,
            )
        finally:
            if device.startswith("cuda"):
                torch.cuda.empty_cache()
        model._take(training, continues, keeps_state=incremental or self.warm_start)
        entropy = None if incremental else model._entropy(targets[rows], weights)
        warn_of_training(model, training, settings, entropy)
        if monitor is not None:
            monitor.end_fit()
        self.__dict__ = vars(model)
        return self

    def _read_rows(self, X, y, sample_weight, reset, warn=False):
        refuse_dates(X)
        X, y = validate_data(
            self,
            rows_of(X) if hasattr(X, "detach") else X,
            plain_targets(y),
            reset=reset,
            multi_output=True,
            y_numeric=not is_classifier(self),
            **self._input_rules(),
        )
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight is zero for every row: at least one must be positive.")
        check_total(weights)
        if not reset:
            self._check_shape(X)
        if sparse.issparse(y):
            if not is_classifier(self):
                raise TypeError("Sparse y is not supported in regression: pass y.toarray().")
            y = y.toarray()
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=warn)
        return canonical(X), y, weights

    def _input_rules(self):
        own = self.encoder is not None
        return {
            "accept_sparse": False if own else "csr",
            "allow_nd": own,
            "dtype": [np.float64, np.float32],
        }

    def _read_validation(self, X_val, y_val, sample_weight_val):
        try:
            X, y, weights = self._read_rows(X_val, y_val, sample_weight_val, reset=False)
            rows = np.flatnonzero(weights)
            X, y, weights = X[rows], y[rows], weights[rows]
            targets = self._encode_targets(y)
        except ValueError as error:
            raise ValueError(f"In the validation set (X_val, y_val): {error}") from error
        return X, targets, np.arange(len(weights)), weights

    def _split(self, X, targets, rows, weights, twins, factors):
        """Training rows, their weights, and the validation set that early stopping asks for, if any.

        Fits that no seed tells apart hold out the same, so they can share a training.
        """
        asks = len(rows) >= self._n_rows_to_hold_out if self.early_stopping == "auto" else self.early_stopping
        if not asks:
            return rows, weights, None
        classes = targets[rows] if self._likelihood() == "categorical" else None
        seed = 0 if self.random_state is None else self._seed
        held_out = held_out_weights(weights, twins, classes, self.validation_fraction, seed)
        if held_out is None:
            if self.early_stopping == "auto":
                return rows, weights, None
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        (trained, kept), (judged, held_out) = positive(rows, weights - held_out), positive(rows, held_out)
        return trained, kept, (X, targets, judged, weighed(held_out, factors[judged]))

    def _learn_inputs(self, X, rows, weights):
        """Set the standardisation of the inputs and the architecture, from the training rows alone."""
        nothing = np.zeros(X.shape[1:])
        self._set_x_moments(Moments(nothing, nothing + 1.0, nothing + 1.0, 0.0, nothing))
        if self.standardize:
            self._set_x_moments(weighted_moments(X, rows, weights))
        self._encoder = None
        hidden = layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        if self.encoder is not None:
            self._encoder = own_module(self.encoder, self._seed, X.shape[1:])
            hidden = (n_outputs_of(self._encoder, self._seed, X.shape[1:]),)
        self._architecture = {
            "n_features": int(np.prod(X.shape[1:])),
            "hidden_layer_sizes": hidden,
            "decoder_hidden_layer_sizes": layer_sizes(self.decoder_hidden_layer_sizes, "decoder_hidden_layer_sizes"),
            "activation": self.activation,
            "likelihood": self._likelihood(),
            "n_outputs": self._n_decoder_outputs,
        }
        self._n_features_out = self.latent_dim
        self._shaped_by = self._shaping_parameters()

    def _shaping_parameters(self):
        """The parameters that a fit which continues cannot change."""
        names = "hidden_layer_sizes", "decoder_hidden_layer_sizes"
        sizes = {name: layer_sizes(getattr(self, name), name) for name in names}
        return {name: getattr(self, name) for name in SHAPING if hasattr(self, name)} | sizes

    def _check_unchanged(self):
        now = self._shaping_parameters()
        for name, before in getattr(self, "_shaped_by", now).items():
            if now[name] != before:
                raise ValueError(
                    f"{name} changed from {before!r} to {now[name]!r}, but a fit that continues keeps its network: "
                    "restore it, or set warm_start=False and fit anew."
                )

    def _set_x_moments(self, moments):
        self._x_mean, self._x_deviation, self._x_filled, _, self._x_common = moments
        self._x_scale = moments.scale_of_inputs

    def _count(self, X, targets, rows, weights, continues, incremental):
        """Count the rows seen; a piece of a stream that comes again is another epoch, and counts once."""
        if not (continues and incremental):
            self._n_seen, self._weight_seen, self._pieces = 0, 0.0, np.zeros(0, dtype=np.uint64)
            self._is_stream = incremental
        if incremental and len(rows) > 1:
            piece = fingerprint(X, targets, rows, weights)
            if piece in self._pieces:
                return
            self._pieces = np.append(self._pieces[1 - N_PIECES :], piece)
        if continues and incremental and self._weight_seen:  # the oldest stored models do not know theirs
            self._follow(X, targets, rows, weights)
        self._n_seen, self._weight_seen = self._n_seen + len(rows), self._weight_seen + float(weights.sum())

    def _follow(self, X, targets, rows, weights):
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
            before = Moments(self._x_mean, deviation, filled, self._weight_seen, common)
            after = before.merged(weighted_moments(X, rows, weights, common))
            self._set_x_moments(after)
            inputs = change(before, after, scale, self._x_scale)
        outputs = self._follow_targets(targets[rows], weights)
        if is_settled and (inputs or outputs):
            self._weights = restandardized(self._state(), self._bare_network(), inputs, outputs).numpy()

    def _penalty(self):
        return penalty_of(self.alpha, max(self._weight_seen, self._n_seen), getattr(self, "_diversity", 1.0))

    def _to_tensors(self, X, targets, rows, weights, mean_weight):
        """Standardised float32 Rows for training."""
        # NumPy before torch: torch's threads of a waiting task would slow down the training that it waits for
        if sparse.issparse(X):
            inputs = sparse_rows(X[rows], self._x_mean, self._x_scale, np.float32, self._is_far())
            values = inputs.values.numpy()
        else:
            values = standardized(X, rows, self._x_mean, self._x_scale)
            inputs = torch.from_numpy(values)
        if not np.isfinite(values).all():
            raise ValueError("X overflows float32: rescale it, or set standardize=True.")
        weights = torch.from_numpy((weights / mean_weight).astype(np.float32))
        return Rows(inputs, checked_targets(self._target_tensor(targets[rows])), weights)

    def _target_tensor(self, targets, dtype=np.float32):
        if self._likelihood() == "categorical":
            return torch.from_numpy(targets)
        return torch.from_numpy(self._scale_targets(targets).astype(dtype))

    def _n_steps_of(self, n_rows):
        """Steps of an epoch."""
        size = np.clip(n_rows / 8, *AUTO_BATCH_SIZES) if self.batch_size == "auto" else self.batch_size
        return max(1, math.ceil(n_rows / size))

    def _step_size(self, n_rows):
        """The learning rate; a piece of a stream with fewer rows than a batch takes shorter steps."""
        full = AUTO_BATCH_SIZES[0] if self.batch_size == "auto" else self.batch_size
        return float(self.learning_rate_init) * math.sqrt(min(1.0, n_rows / full))

    def _settings(self, has_validation, incremental, device, n_rows):
        stop_on = "loss" if self.learning_rate == "constant" else None
        if self.early_stopping and has_validation:
            stop_on = "validation"
        schedule = "constant" if incremental else self.learning_rate
        schedule = SCHEDULES[schedule] if isinstance(schedule, str) else checked_schedule(schedule)
        architecture = Architecture(**self._architecture)
        check_memory(architecture, self.latent_dim, device)
        return Settings(
            architecture=architecture,
            max_iter=1 if incremental else self.max_iter,
            learning_rate_init=self._step_size(n_rows) if incremental else float(self.learning_rate_init),
            schedule=schedule,
            beta_warmup=float(self.beta_warmup),
            ema_decay=0.0 if incremental else float(self.ema_decay),
            n_train_draws=self.n_train_draws,
            n_predict_draws=self.n_predict_draws,
            stop_on=None if incremental else stop_on,
            tol=float(self.tol),
            n_iter_no_change=self.n_iter_no_change,
            device=device,
            product_dtype=getattr(torch, self.autocast) if self.autocast else None,
        )

    def _state(self):
        arrays = self._optimizer or (np.zeros_like(self._weights),) * 2
        tensors = (torch.from_numpy(array.copy()) for array in (self._weights, *arrays))
        return State(*tensors, self._layout, {}, self._n_steps, self._n_epochs)

    def _take(self, training, continues, keeps_state):
        """Turn what the trainer returns into fitted attributes."""
        state, (fit,) = training.state, training.fits
        self._weights, self._layout = fit.weights.numpy(), fit.layout
        if fit.buffers:
            self._encoder = copy.deepcopy(self._encoder)
            set_buffers(self._encoder, fit.buffers)
        moments = state.mean_gradient.numpy(), state.mean_square.numpy()
        self._optimizer = moments if keeps_state else None
        self._n_steps, self._n_epochs = (state.n_steps if keeps_state else 0), state.n_epochs
        self._no_improvement_count = training.n_no_change
        self.n_iter_ = training.n_epochs
        self._set_history(fit.history, self.history_ if continues else None)
        self.latent_rates_ = fit.latent_rates.numpy().astype(np.float64)
        self.rate_ = float(self.latent_rates_.sum())
        self.distortion_ = fit.distortion + self._units()
        self._assert_dtypes()

    def _set_history(self, history, before):
        signs = {"loss": 1.0, "distortion": 1.0, "validation_log_likelihood": -1.0}
        self.history_ = {}
        for name in {**(before or {}), **history}:
            values = np.array(history.get(name, ()), dtype=np.float64) + signs.get(name, 0.0) * self._units()
            self.history_[name] = np.concatenate([before[name], values]) if name in (before or ()) else values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.encoder is None
        tags.input_tags.three_d_array = self.encoder is not None
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
