"""FittedVIB: what a fitted estimator answers from its weights - network, codes, rates, likelihoods."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, is_classifier
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from skvib.nn.network import Architecture, VIBNetwork, quasi_normal
from skvib.nn.operations import TORCH
from skvib.nn.problem import available_device
from skvib.nn.ramps import Edges
from skvib.nn.weights import WeightMatrix
from skvib.reading import chunks_of, gathered, read_inputs, read_rows
from skvib.typing import MatrixLike
from skvib.unlabelled import checked_outputs, gaps_in, known_rows, refuse_gaps

FLOAT32_RANGE = 1e15
DTYPES: dict[str, type] = dict.fromkeys(
    (f"_{side}_{name}" for side in "xy" for name in ("mean", "deviation", "filled", "common", "scale")), np.float64
)
DTYPES |= {"_ramp_columns": np.int64, "_ramp_edges": np.float64}
DTYPES |= {"_weights": np.float32, "latent_rates_": np.float64, "_pieces": np.uint64}
# rebuilt networks of fitted estimators, by dtype and device, beside the weights they were built from
_NETWORKS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class FittedVIB(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The part of an estimator that reads a fitted state, which is NumPy arrays and plain values."""

    # what the oldest stored models do not have
    n_bins, n_estimators, latent_prior, rate_function = 0, 1, "normal", "linear"
    missing_label: Any = None
    invariance = 0.0
    categorical_features: Any = "from_dtype"
    _input_square = 1.0
    _columns: dict | None = None
    _members: tuple | list = ()
    _ramp_columns, _ramp_edges = np.zeros(0, dtype=np.int64), np.zeros((0, 1))
    _layout, _is_stream, _n_seen, _pieces = None, False, 0, np.zeros(0, dtype=np.uint64)
    _weight_seen, _unlabelled_seen, _trust = 0.0, 0.0, 0.0

    @property
    @abstractmethod
    def _target(self):
        """What y is, a Target of skvib.targets, from the fitted attributes."""

    @property
    def estimators_(self) -> list[Self]:
        """The fitted networks of an ensemble, plain estimators; of a single one, itself."""
        check_is_fitted(self)
        return list(self._each)

    @property
    def _each(self):
        """The estimator of each network."""
        return self._members or [self]

    @property
    def network_(self) -> VIBNetwork:
        """The fitted torch module, in eval mode and float32; it takes X as (1, n_samples, n_features).

        It is a stack of `n_estimators` networks.
        """
        check_is_fitted(self)
        return self._network(torch.float32)

    def _network(self, dtype, device="cpu"):
        """The network rebuilt from its weights; kept outside `__dict__`, which predict must not change."""
        weights = [one._weights for one in self._each]
        known, networks = _NETWORKS.get(self, ((), {}))
        if len(known) != len(weights) or any(one is not other for one, other in zip(known, weights, strict=True)):
            networks = {}
            _NETWORKS[self] = weights, networks
        if (dtype, device) not in networks:
            network = self._trained_network()
            network.in_dtype(dtype)
            network.fold_standardization(*map(torch.from_numpy, (self._x_mean.copy(), self._x_scale.copy())))
            networks[dtype, device] = network.to(device).eval()
            network.is_in_range = dtype != torch.float32 or self._fits_float32()
        return networks[dtype, device]

    def _trained_network(self):
        """The network of standardised rows, in float32, with its weights."""
        network = self._bare_network()
        stored = [(torch.from_numpy(one._weights.copy()), one._layout) for one in self._each]
        WeightMatrix(network).fill(stored)
        network.requires_grad_(False).zero_grad(set_to_none=True)
        return network

    def _check_several(self):
        check_is_fitted(self)
        if not self._members:
            raise ValueError(f"{type(self).__name__} is a single network: fit it with n_estimators=5, or more.")

    def _bare_network(self):
        """A network of this shape, in float32, whatever its weights."""
        modules = None if self._encoder is None else [one._encoder for one in self._each]
        latent_dims, edges = [one._n_features_out for one in self._each], self._edges()
        edges = edges and [edges] * len(latent_dims)
        return VIBNetwork(Architecture(**self._architecture), latent_dims, modules, edges=edges)

    def _edges(self):
        """Where ramps of the standardised columns lie, or None."""
        if not len(self._ramp_columns):
            return None
        mean, scale = (of_columns[self._ramp_columns, None] for of_columns in (self._x_mean, self._x_scale))
        edges = ((self._ramp_edges - mean) / scale).astype(np.float32)
        return Edges(tuple(self._ramp_columns.tolist()), *map(torch.from_numpy, (edges[:, :-1], np.diff(edges))))

    def _network_for(self, values):
        """The network in the dtype of validated values, where it predicts; in float64 where float32 is too narrow."""
        device = available_device(self.device)
        if values.dtype == np.float32:
            network = self._network(torch.float32, device)
            if network.is_in_range:
                return network
        return self._network(torch.float64, device)

    def _fits_float32(self):
        """Whether rows can be standardised in float32: products and quotients of what it holds are in range."""
        scale = self._x_scale[np.isfinite(self._x_scale)]
        largest = max(np.abs(self._x_mean).max(initial=0.0), scale.max(initial=0.0))
        return largest < FLOAT32_RANGE and scale.min(initial=1.0) > 1.0 / FLOAT32_RANGE

    def _assert_dtypes(self):
        """Whatever X and y were, what is fitted has one type."""
        for name, dtype in DTYPES.items():
            assert getattr(self, name, np.empty(0, dtype)).dtype == dtype, f"{name} is not {dtype}"

    def _forget_network(self):
        """Free the rebuilt networks, before another fit."""
        _NETWORKS.pop(self, None)

    def _inference(self, X):
        """The network in the dtype of the validated X, and X in chunks of bounded memory."""
        network = self._network_for(X)
        return network, chunks_of(X, network, max(self.n_predict_draws, 1), self._x_mean, self._x_scale)

    @torch.no_grad()
    def _map_rows(self, X, function, dtype=None):
        """`function(xp, network, posterior)`, a tensor or a tuple of them with rows first, for all rows.

        They come in this dtype, by default that of X; an error tells of rows so far away that they overflow it.
        """
        check_is_fitted(self)
        X = read_inputs(self, X)
        network, chunks = self._inference(X)
        outputs = (function(TORCH, network, network.predictive(TORCH, chunk)) for chunk in chunks)
        with np.errstate(over="ignore"):
            arrays = gathered(outputs, X.shape[0], dtype or X.dtype)
        for array in arrays if isinstance(arrays, tuple) else (arrays,):
            _check_finite(array, "X", X.dtype)
        return arrays

    def _map_draws(self, X, function, dtype=None):
        """`function(xp, likelihood, eta)` for all rows, eta (S, n, n_parameters) over the fixed draws of z.

        Those of an ensemble follow one another.
        """

        def decode(xp, network, posterior):
            eta = network.head.predictive(xp, posterior, self._points(network))
            return function(xp, network.likelihood, _all_draws(xp, eta))

        return self._map_rows(X, decode, dtype)

    def _points(self, network):
        mean = network.center
        points = quasi_normal(self.n_predict_draws, max(network.bottleneck.latent_dims))
        return points.to(mean).expand(network.n_networks, -1, -1)

    def encode(self, X: MatrixLike) -> tuple[np.ndarray, np.ndarray]:
        """The posterior q(z|x) = N(mu, diag(sigma^2)) of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        mu, sigma : ndarray of shape (n_samples, latent_dim)
            Mean and standard deviation of the code, in the dtype of X.
        """
        return self._map_rows(X, lambda xp, network, posterior: tuple(_side_by_side(xp, part) for part in posterior))

    def transform(self, X: MatrixLike) -> np.ndarray:
        """The mean code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        mu : ndarray of shape (n_samples, latent_dim)
            Mean of q(z|x), in the dtype of X.
        """
        return self._map_rows(X, lambda xp, network, posterior: _side_by_side(xp, posterior.mu))

    def sample_latent(
        self, X: MatrixLike, n_samples: int = 1, random_state: int | np.random.RandomState | None = 0
    ) -> np.ndarray:
        """Draw codes z ~ q(z|x).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        n_samples : int, default=1
            Draws of each row.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws.

        Returns
        -------
        z : ndarray of shape (n_samples, n_rows, latent_dim)
            Codes.
        """
        mu, sigma = self.encode(X)
        noise = check_random_state(random_state).standard_normal((n_samples, *mu.shape))
        return mu + sigma * noise.astype(mu.dtype, copy=False)

    def rate_samples(self, X: MatrixLike) -> np.ndarray:
        """The rate of each row: KL(q(z|x) || p(z)), how surprising it is to the bottleneck.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        rates : ndarray of shape (n_samples,)
            In nats.
        """
        return self._map_rows(X, self._rates)

    def latent_rate_samples(self, X: MatrixLike) -> np.ndarray:
        """The rate of each row by latent dimension, beside that dimension of the prior.

        They add up to `rate_samples` with ``latent_prior="normal"`` alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        rates : ndarray of shape (n_samples, latent_dim)
            In nats.
        """
        return self._map_rows(X, self._latent_rates)

    def _rates(self, xp, network, posterior):
        return network.prior.rate(xp, posterior, self._points(network)).sum(0)

    def _latent_rates(self, xp, network, posterior):
        return _side_by_side(xp, network.prior.predictive(xp, posterior, self._points(network)))

    def score_samples(self, X: MatrixLike) -> np.ndarray:
        """An inlier score, minus the rate of each row, which Pipelines forward.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In nats; the lower, the more unusual.
        """
        return -self.rate_samples(X)

    @torch.no_grad()
    def log_likelihood_samples(self, X: MatrixLike, y: ArrayLike) -> np.ndarray:
        """Log-likelihood log q(y|x) of each row under the posterior predictive, in the units of y as given.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        Returns
        -------
        log_likelihoods : ndarray of shape (n_samples,)
            In nats, summed over outputs; float64.
        """
        check_is_fitted(self)
        X, y, _, known = read_rows(self, X, y, None)
        refuse_gaps(known)
        target = self._target
        network, chunks = self._inference(X)
        points, start, parts = self._points(network), 0, []
        for chunk in chunks:
            stop = start + (len(chunk[0]) if isinstance(chunk, torch.Tensor) else chunk[0].shape[0])
            targets = target.tensor(target.encode(y[start:stop]), points.numpy(force=True).dtype)
            targets = targets.to(points.device).expand(network.n_networks, *targets.shape)
            parts.append(torch.logsumexp(network.log_likelihood(chunk, targets, points), 0))
            start = stop
        log_likelihoods = torch.cat(parts).cpu().double().numpy() - target.units - np.log(network.n_networks)
        _check_finite(log_likelihoods, "X or y", points.numpy(force=True).dtype)
        return log_likelihoods

    @torch.no_grad()
    def log_likelihood_latent(self, z: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Log-likelihood log q(y|z) of codes and targets, in the units of y as given.

        Parameters
        ----------
        z : array-like of shape (..., n_samples, latent_dim) or (..., 1, latent_dim)
            Codes, as from `sample_latent`; one for each target, or one for all of them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        Returns
        -------
        log_likelihoods : ndarray of shape (..., n_samples)
            In nats, summed over outputs.

        Raises
        ------
        ValueError
            If the shapes of z and y do not match, or a label is not among the known ones.
        """
        check_is_fitted(self)
        z = check_array(z, dtype=[np.float64, np.float32], allow_nd=True)
        target = self._target
        gaps = gaps_in(y, self.missing_label)
        refuse_gaps(known_rows(gaps, self.missing_label))
        targets = target.encode(checked_outputs(y, gaps, are_numbers=not is_classifier(self)))
        if z.shape[-1] != self._n_features_out or z.shape[-2] not in (1, len(targets)):
            raise ValueError(
                f"z has shape {z.shape}: it must be (..., {len(targets)} or 1, {self._n_features_out}), codes for "
                f"{len(targets)} targets."
            )
        if self._members:
            codes = np.split(z, len(self._members), axis=-1)
            log_q = [one.log_likelihood_latent(code, y) for one, code in zip(self._members, codes, strict=True)]
            return np.logaddexp.reduce(log_q) - np.log(len(log_q))
        network = self._network_for(z)
        z = z.astype(network.center.numpy(force=True).dtype, copy=False)
        y = target.tensor(targets, z.dtype).to(network.center.device)
        codes = torch.from_numpy(z.reshape(-1, *z.shape[-2:])).to(network.center.device)
        eta = network.decode(codes.flatten(0, 1).unsqueeze(0)).view(*codes.shape[:2], -1)
        log_q = network.likelihood.log_likelihood(eta, y).cpu().double().numpy() - target.units
        return log_q.reshape(*z.shape[:-2], len(y))

    # Fitted attributes that follow from others

    @property
    def prior_weights_(self) -> np.ndarray:
        """The weights of the components of p(z), (n_components,)."""
        return self._prior_components()[0]

    @property
    def prior_means_(self) -> np.ndarray:
        """Their means, (n_components, latent_dim)."""
        return self._prior_components()[1]

    @property
    def prior_scales_(self) -> np.ndarray:
        """Their standard deviations, (n_components, latent_dim)."""
        return self._prior_components()[2]

    def _prior_components(self):
        check_is_fitted(self)
        if self._members:
            raise AttributeError("An ensemble has as many priors as networks: ask one of estimators_.")
        prior = self._network(torch.float32).prior
        return tuple(part.numpy().astype(np.float64) for part in prior.components_of(0, self._n_features_out))

    @property
    def loss_curve_(self) -> list[float]:
        """Loss of each epoch, nats."""
        return self.history_["loss"].tolist()

    @property
    def loss_(self) -> float:
        """Loss of the last epoch, nats; nan if none was finished."""
        return float(self.history_["loss"][-1]) if len(self.history_["loss"]) else np.nan

    @property
    def best_loss_(self) -> float | None:
        """Lowest loss of an epoch, nats; None with early stopping."""
        return None if self._stops_on_validation else float(np.fmin.reduce(self.history_["loss"], initial=np.inf))

    @property
    def validation_scores_(self) -> list[float] | None:
        """Mean log-likelihood of the validation rows after each epoch, nats; None without them."""
        scores = self.history_.get("validation_log_likelihood")
        return None if scores is None else scores.tolist()

    @property
    def best_validation_score_(self) -> float | None:
        """The best of `validation_scores_`; None without them."""
        scores = self.validation_scores_
        return None if scores is None else max(scores, default=-np.inf)

    @property
    def n_active_(self) -> int:
        """Latent dimensions that carry more than 0.01 nats."""
        return int(np.sum(self.latent_rates_ > 0.01))


def _side_by_side(xp, part):
    """What each network says of rows, (M, n, k), as (n, M k)."""
    return xp.permute(part, (1, 0, 2)).reshape(part.shape[1], -1)


def _all_draws(xp, eta):
    """Draws (M, S, n, n_parameters) of all networks as (M S, n, n_parameters); parameters stay first in memory."""
    if len(eta) == 1:
        return eta[0]
    n_networks, n_draws, n_rows, n_parameters = eta.shape
    flat = xp.permute(eta, (3, 0, 1, 2)).reshape(n_parameters, n_networks * n_draws, n_rows)
    return xp.permute(flat, (1, 2, 0))


def _check_finite(array, what, dtype):
    is_finite = np.isfinite(array)
    if not is_finite.all():
        row = np.flatnonzero(~is_finite.reshape(len(array), -1).all(axis=1))[0]
        raise ValueError(
            f"Row {row} of {what} lies so far from the training rows that the network overflows {dtype}: check its "
            "values."
        )
