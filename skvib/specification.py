"""From the parameters of an estimator to what the floor below takes; nothing else reads a parameter of training."""

import math
import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse

from skvib.checks import LARGEST, checked_schedule, layer_sizes
from skvib.nn.convolutions import Convolutions
from skvib.nn.encoders import n_outputs_of, own_module
from skvib.nn.layers import ACTIVATIONS
from skvib.nn.network import Architecture
from skvib.nn.prices import RATE_FUNCTIONS
from skvib.nn.priors import PRIORS
from skvib.nn.problem import SCHEDULES, WIDTH, Settings, check_memory
from skvib.private import Interval, Options, StrOptions

AUTO_BATCH_SIZES = 32, 200
MAX_EPOCHS, MAX_DRAWS, MAX_BINS, MAX_ESTIMATORS = 2**31 - 1, 10**6, 255, 10**4
MIN_SIDE = 8  # of a colour image
N_COMPONENTS = 10  # of a mixture where there are no classes
MAX_LATENT_DIM = 21_201  # so many dimensions quasi-random points have
# parameters that decide what the network is
SHAPING = (
    *("latent_dim", "latent_prior", "rate_function", "activation", "noise", "encoder", "standardize", "n_bins"),
    "n_estimators",
)
CONSTRAINTS = {
    "beta": [Interval(Real, 0, LARGEST, closed="both")],
    "latent_dim": [Interval(Integral, 1, MAX_LATENT_DIM, closed="both")],
    "latent_prior": [StrOptions({"normal", *PRIORS})],
    "rate_function": [StrOptions(set(RATE_FUNCTIONS))],
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "decoder_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "encoder": [StrOptions({"conv"}), callable, None],
    "missing_label": [str, Real, None],
    "invariance": [Interval(Real, 0, LARGEST, closed="both")],
    "n_estimators": [Interval(Integral, 1, MAX_ESTIMATORS, closed="both")],
    "n_train_draws": [Interval(Integral, 1, MAX_DRAWS, closed="both")],
    "n_predict_draws": [Interval(Integral, 0, MAX_DRAWS, closed="both")],
    "standardize": ["boolean"],
    "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
    "n_bins": [Interval(Integral, 0, MAX_BINS, closed="both")],
    "learning_rate_init": [Interval(Real, 0, LARGEST, closed="right")],
    "learning_rate": [StrOptions(set(SCHEDULES)), callable],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, MAX_EPOCHS, closed="both")],
    "alpha": [Interval(Real, 0, LARGEST, closed="both")],
    "ema_decay": [Interval(Real, 0, 1, closed="left")],
    "early_stopping": ["boolean", StrOptions({"auto"})],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "tol": [Interval(Real, 0, LARGEST, closed="both")],
    "warm_start": ["boolean"],
    "device": [str],
    "autocast": [StrOptions({"bfloat16"}), None],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}


def shaping_of(estimator):
    """The parameters that a fit which continues cannot change, by name."""
    names = "hidden_layer_sizes", "decoder_hidden_layer_sizes"
    sizes = {name: layer_sizes(getattr(estimator, name), name) for name in names}
    return {name: getattr(estimator, name) for name in SHAPING if hasattr(estimator, name)} | sizes


def check_unchanged(estimator, before):
    """Raise if a parameter differs from what `shaping_of` the first fit was."""
    now = shaping_of(estimator)
    # the oldest stored models do not name all
    for name, value in {"n_estimators": 1, "latent_prior": "normal", "rate_function": "linear", **before}.items():
        if now[name] != value:
            raise ValueError(
                f"{name} changed from {value!r} to {now[name]!r}, but a fit that continues keeps its network: "
                "restore it, or set warm_start=False and fit anew."
            )


def _seems_last(first, second, last):
    """Whether an image of this shape seems to have its channels last: of colours, or grey and square."""
    return (last in (3, 4) and min(first, second) >= MIN_SIDE) or (last == 1 and first == second > 1)


def encoder_of(estimator, seed, shape):
    """The module that encodes rows of this shape, None where dense layers do."""
    if estimator.encoder is None:
        return None
    if not isinstance(estimator.encoder, str):
        return own_module(estimator.encoder, seed, shape)
    if len(shape) not in (2, 3):
        raise ValueError(
            'encoder="conv" takes images, X of shape (n, height, width) or (n, channels, height, width); got rows of '
            f"shape {tuple(shape)}. Reshape them, as X.reshape(-1, 28, 28), or leave encoder=None."
        )
    if len(shape) == 3 and _seems_last(*shape):
        warnings.warn(
            f"X holds images of shape {tuple(shape)}, read as (channels, height, width). If the channels come last, "
            "move them with np.moveaxis(X, -1, 1).",
            UserWarning,
            stacklevel=2,
        )
    return own_module(partial(Convolutions, shape), seed, shape)


def architecture_of(estimator, target, shape, module, seed, n_ramps):
    """The arguments of an Architecture for rows of this shape; the user's encoder, a module, may be None."""
    hidden = layer_sizes(estimator.hidden_layer_sizes, "hidden_layer_sizes")
    return {
        "n_features": int(np.prod(shape)),
        "hidden_layer_sizes": hidden if module is None else (n_outputs_of(module, seed, shape),),
        "decoder_hidden_layer_sizes": layer_sizes(estimator.decoder_hidden_layer_sizes, "decoder_hidden_layer_sizes"),
        "activation": estimator.activation,
        "likelihood": target.likelihood,
        "n_outputs": target.n_outputs,
        "n_ramps": n_ramps,
        "rate_function": estimator.rate_function,
        "guesses": estimator.missing_label is not None and target.is_guessed,
        **_prior_of(estimator, target),
    }


def _prior_of(estimator, target):
    """What p(z) is: nothing to say of the default."""
    name = estimator.latent_prior
    if name == "normal":
        return {}
    is_of_classes = target.likelihood == "categorical"
    if name == "class" and not is_of_classes:
        raise ValueError('latent_prior="class" needs one class label per row: use "mixture" for other targets.')
    if name == "class" and estimator.rate_function != "linear":
        raise ValueError('latent_prior="class" has a price of its own: use rate_function="linear", or "mixture".')
    return {"latent_prior": name, "n_components": target.n_outputs if is_of_classes else N_COMPONENTS}


def n_bins_of(estimator, X):
    """Ramps of each number; a ValueError where there can be none."""
    if not estimator.n_bins:
        return 0
    reason = None
    if sparse.issparse(X):
        reason = "X is sparse, and ramps are not: pass X.toarray(), or leave n_bins=0"
    elif estimator.encoder is not None:
        reason = "an `encoder` takes X as it is: leave n_bins=0"
    elif not layer_sizes(estimator.hidden_layer_sizes, "hidden_layer_sizes"):
        reason = "an encoder without hidden layers is linear, and ramps are not: leave n_bins=0, or add a hidden layer"
    if reason:
        raise ValueError(f"n_bins={estimator.n_bins}, but {reason}.")
    return estimator.n_bins


def n_steps_of(estimator, n_rows):
    """Steps of an epoch."""
    size = estimator.batch_size
    return max(1, math.ceil(n_rows / (np.clip(n_rows / 8, *AUTO_BATCH_SIZES) if size == "auto" else size)))


def step_size_of(estimator, n_rows):
    """The learning rate of a piece of a stream; one with fewer rows than a batch takes shorter steps."""
    full = AUTO_BATCH_SIZES[0] if estimator.batch_size == "auto" else estimator.batch_size
    return float(estimator.learning_rate_init) * math.sqrt(min(1.0, n_rows / full))


def settings_of(estimator, architecture, device, has_validation):
    """How a fit trains."""
    stop_on = "loss" if estimator.learning_rate == "constant" else None
    if estimator.early_stopping and has_validation:
        stop_on = "validation"
    schedule = estimator.learning_rate
    schedule = SCHEDULES[schedule] if isinstance(schedule, str) else checked_schedule(schedule)
    # a fit that another continues keeps all of its network
    silences = estimator.invariance > 0 and not estimator.warm_start
    settings = _settings(estimator, architecture, device)
    return replace(settings, schedule=schedule, stop_on=stop_on, silences=silences)


def settings_of_a_piece(estimator, architecture, device, n_rows):
    """How a piece of a stream trains: for one epoch at a constant rate, without an average."""
    step_size = step_size_of(estimator, n_rows)
    return replace(_settings(estimator, architecture, device), max_iter=1, learning_rate_init=step_size, ema_decay=0.0)


def _settings(estimator, architecture, device):
    """At a constant rate, to the end."""
    architecture = Architecture(**architecture)
    check_memory(architecture, estimator.latent_dim, device, min(estimator.n_estimators, WIDTH))
    return Settings(
        architecture=architecture,
        max_iter=estimator.max_iter,
        learning_rate_init=float(estimator.learning_rate_init),
        schedule=SCHEDULES["constant"],
        ema_decay=float(estimator.ema_decay),
        n_train_draws=estimator.n_train_draws,
        n_predict_draws=estimator.n_predict_draws,
        stop_on=None,
        tol=float(estimator.tol),
        n_iter_no_change=estimator.n_iter_no_change,
        device=device,
        product_dtype=getattr(torch, estimator.autocast) if estimator.autocast else None,
    )
