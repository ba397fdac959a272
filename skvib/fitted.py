"""FittedVIB: what a fitted estimator answers from its weights - network, codes, rates, likelihoods."""

import weakref

import numpy as np
import torch
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skvib.nn.layers import SparseRows
from skvib.nn.network import Architecture, VIBNetwork, WeightMatrix, quasi_normal
from skvib.nn.problem import available_device
from skvib.rows import canonical

PREDICT_ELEMENTS = 2**20
# rebuilt networks of fitted estimators, by dtype and device, beside the weights they were built from
_NETWORKS = weakref.WeakKeyDictionary()


class FittedVIB(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The part of an estimator that reads a fitted state, which is NumPy arrays and plain values."""

    @property
    def network_(self):
        """The fitted torch module, in eval mode and float32; it takes X as (1, n_samples, n_features)."""
        check_is_fitted(self)
        return self._network(torch.float32)

    def _network(self, dtype, device="cpu"):
        """The network rebuilt from its weights; kept outside `__dict__`, which predict must not change."""
        weights, networks = _NETWORKS.get(self, (None, None))
        if weights is not self._weights:
            networks = {}
            _NETWORKS[self] = self._weights, networks
        if (dtype, device) not in networks:
            modules = None if self._encoder is None else [self._encoder]
            architecture = Architecture(**self._architecture)
            network = VIBNetwork(architecture, (self._n_features_out,), modules).to(dtype)
            WeightMatrix(network).values.copy_(torch.tensor(self._weights))
            network.requires_grad_(False).zero_grad(set_to_none=True)
            network.fold_standardization(torch.tensor(self._x_mean), torch.tensor(self._x_scale))
            networks[dtype, device] = network.to(device).eval()
        return networks[dtype, device]

    def _network_for(self, values):
        """The network in the dtype of validated values, where it predicts."""
        dtype = torch.float32 if values.dtype == np.float32 else torch.float64
        return self._network(dtype, available_device(self.device))

    def _check_shape(self, X):
        if X.shape[1:] != self._x_mean.shape:
            raise ValueError(f"Rows of X have shape {X.shape[1:]}, but those of the fit {self._x_mean.shape}.")

    def _forget_network(self):
        """Free the rebuilt networks, before another fit."""
        _NETWORKS.pop(self, None)

    def _inference(self, X):
        """The network in the dtype of the validated X, and X in chunks of bounded memory."""
        network = self._network_for(X)
        return network, _chunks_of(X, network, max(self.n_predict_draws, 1))

    @torch.no_grad()
    def _map_rows(self, X, function):
        """`function(network, posterior)`, a tensor or a tuple of them with rows first, for all rows."""
        check_is_fitted(self)
        X = canonical(validate_data(self, X, reset=False, **self._input_rules()))
        self._check_shape(X)
        network, chunks = self._inference(X)
        return _gathered((function(network, network(chunk)) for chunk in chunks), X.shape[0])

    def _map_draws(self, X, function):
        """`function(likelihood, eta)` for all rows, eta (S, n, n_parameters) over the fixed draws of z."""

        def decode(network, posterior):
            eta = network.decode_points(posterior, self._points(network))
            return function(network.likelihood, eta[0])

        return self._map_rows(X, decode)

    def _points(self, network):
        mean = network.center
        points = quasi_normal(self.n_predict_draws, self._n_features_out)
        return points.to(mean).unsqueeze(0)

    def encode(self, X):
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
        return self._map_rows(X, lambda network, posterior: (posterior.mu[0], posterior.sigma[0]))

    def transform(self, X):
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
        return self._map_rows(X, lambda network, posterior: posterior.mu[0])

    def sample_latent(self, X, n_samples=1, random_state=0):
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

    def rate_samples(self, X):
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
        return self._map_rows(X, lambda network, posterior: posterior.rates().sum(-1)[0])

    def score_samples(self, X):
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
    def log_likelihood_samples(self, X, y):
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
            In nats, summed over outputs.
        """
        check_is_fitted(self)
        X, y, _ = self._read_rows(X, y, None, reset=False)
        network, chunks = self._inference(X)
        points, start, parts = self._points(network), 0, []
        for chunk in chunks:
            stop = start + (len(chunk[0]) if isinstance(chunk, torch.Tensor) else chunk[0].shape[0])
            targets = self._target_tensor(self._encode_targets(y[start:stop]), X.dtype)
            targets = targets.unsqueeze(0).to(points.device)
            parts.append(network.log_likelihood(chunk, targets, points)[0])
            start = stop
        return torch.cat(parts).cpu().numpy() - self._units()

    @torch.no_grad()
    def log_likelihood_latent(self, z, y):
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
        targets = self._encode_targets(check_array(y, dtype=None, ensure_2d=False))
        if z.shape[-1] != self._n_features_out or z.shape[-2] not in (1, len(targets)):
            raise ValueError(
                f"z has shape {z.shape}: it must be (..., {len(targets)} or 1, {self._n_features_out}), codes for "
                f"{len(targets)} targets."
            )
        network = self._network_for(z)
        y = self._target_tensor(targets, z.dtype).to(network.center.device)
        codes = torch.from_numpy(z.reshape(-1, *z.shape[-2:])).to(network.center.device)
        eta = network.decode(codes.flatten(0, 1).unsqueeze(0)).view(*codes.shape[:2], -1)
        log_q = network.likelihood.log_likelihood(eta, y) - self._units()
        return log_q.cpu().numpy().reshape(*z.shape[:-2], len(y))

    # Fitted attributes that follow from others

    @property
    def loss_curve_(self):
        """Loss of each epoch, nats."""
        return self.history_["loss"].tolist()

    @property
    def loss_(self):
        """Loss of the last epoch, nats; nan if none was finished."""
        return float(self.history_["loss"][-1]) if len(self.history_["loss"]) else np.nan

    @property
    def best_loss_(self):
        """Lowest loss of an epoch, nats; None with early stopping."""
        return None if self._stops_on_validation else float(np.fmin.reduce(self.history_["loss"], initial=np.inf))

    @property
    def validation_scores_(self):
        """Mean log-likelihood of the validation rows after each epoch, nats; None without them."""
        scores = self.history_.get("validation_log_likelihood")
        return None if scores is None else scores.tolist()

    @property
    def best_validation_score_(self):
        """The best of `validation_scores_`; None without them."""
        scores = self.validation_scores_
        return None if scores is None else max(scores, default=-np.inf)

    @property
    def n_active_(self):
        """Latent dimensions that carry more than 0.01 nats."""
        return int(np.sum(self.latent_rates_ > 0.01))


def sparse_rows(X, mean, scale, dtype):
    """(X - mean) / scale as SparseRows."""
    return SparseRows(
        torch.from_numpy(X.indptr.astype(np.int64)),
        torch.from_numpy(X.indices.astype(np.int64)),
        torch.from_numpy((X.data / scale[X.indices]).astype(dtype)),
        torch.from_numpy((mean / scale).astype(dtype)),
    )


def _gathered(chunks, n_rows):
    """Tensors, or tuples of them, of some rows each as NumPy arrays of all rows, which are filled as they come."""
    wholes, start = None, 0
    for chunk in chunks:
        parts = chunk if isinstance(chunk, tuple) else (chunk,)
        if wholes is None:
            wholes = [part.new_empty((n_rows, *part.shape[1:]), device="cpu") for part in parts]
        stop = start + len(parts[0])
        for whole, part in zip(wholes, parts, strict=True):
            whole[start:stop] = part
        start = stop
    arrays = tuple(whole.numpy() for whole in wholes)
    return arrays if isinstance(chunk, tuple) else arrays[0]


def _chunks_of(X, network, n_points):
    """Stacks of one network: the rows of X, so many at a time that memory stays bounded."""
    size = max(1, PREDICT_ELEMENTS // network.row_elements(n_points, sparse.issparse(X)))
    for start in range(0, X.shape[0], size):
        rows = X[start : start + size]
        if sparse.issparse(rows):
            mean = network.center.cpu().numpy()
            yield [sparse_rows(rows, mean, np.ones_like(mean), X.dtype).to(network.center.device)]
        else:
            rows = np.require(rows, requirements=["C", "W"])
            yield torch.from_numpy(rows).unsqueeze(0).to(network.center.device)
