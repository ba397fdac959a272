"""VIBRegressor: target scaling and the predictive distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length
from torch import nn

from skvib.base import BaseVIB
from skvib.mixtures import mixture_information, mixture_quantiles
from skvib.private import StrOptions, fit_context
from skvib.targets import Numbers
from skvib.typing import MatrixLike
from skvib.unlabelled import checked_outputs, gaps_in, rows_with_target


class VIBRegressor(RegressorMixin, BaseVIB):
    """Regressor with a Variational Information Bottleneck.

    A network maps each row to a Gaussian code q(z|x) and predicts a normal distribution from draws of it.
    Training minimises distortion + beta * rate: the mean of -log q(y|z), summed over outputs, plus `beta` times
    KL(q(z|x) || N(0, I)), the nats that the code carries about X [1]_. Targets are standardised inside, so
    `beta` means the same whatever their units; one or several outputs.

    Parameters
    ----------
    beta : float, default=3e-3
        Price of a nat that the code carries about X. Above 1 the code carries nothing; at 0 it is free.
    latent_dim : int, default=32
        Size of the code Z.
    latent_prior : {"normal", "mixture", "class"}, default="normal"
        p(z), what codes are compared to: N(0, I), or a mixture of normal distributions that is learned with the
        network, one for each class, or ten where y has no classes. "class" is for a label a row: it is compared to the
        component of its own class and pays that alone, the residual rate, a bound of I(X;Z|Y). The loss is (1 - beta)
        distortion + beta residual rate, for beta up to 1, the Conditional Entropy Bottleneck (Fischer 2020) at gamma =
        beta / (1 - beta). `residual_rate_` is the training mean of the residual rate; `rate_` is that of the mixture,
        and bounds I(X;Z).
    rate_function : {"linear", "square"}, default="linear"
        What a mean rate R costs: beta R, or beta R^2, so that a nat costs 2 beta R [3]_. Where y is a function of x, a
        linear price finds all of it or nothing; the square every rate between. Not with ``latent_prior="class"``.
    hidden_layer_sizes : int or array-like of int, default=(256, 256)
        Widths of the encoder's hidden layers; ``()`` makes it linear.
    activation : {"relu", "silu", "gelu", "tanh"}, default="relu"
        Activation behind each hidden layer.
    decoder_hidden_layer_sizes : int or array-like of int, default=()
        Widths of the decoder's hidden layers; by default it is linear.
    encoder : {"conv"}, torch.nn.Module, callable that returns one, or None, default=None
        What encodes instead of hidden layers. "conv" is a small convolutional network for images, X of shape
        (n_samples, height, width) or (n_samples, channels, height, width). A module of yours, or a function that makes
        one, maps float32 rows (n, ...) to features (n, width); it is copied, never changed. Dropout and BatchNorm in
        training mode are refused.
    noise : {"homoscedastic", "heteroscedastic"}, default="heteroscedastic"
        Whether the learned noise of q(y|z) is a constant of each output or a function of z.
    missing_label : int, float, str or None, default=None
        The value of y that says that a row has no target, such as -1, or NaN, which stands for all gaps. Such rows pay
        their rate and are never held out. Nothing guesses what they lack. A row that lacks some of several outputs is
        told, and judged, by the others.
    invariance : float, default=0.0
        Price of a nat that the code tells of the `nuisance` given to `fit`, such as a sensitive attribute, a scanner or
        a domain: the loss includes `invariance` times I(Z;S), by the mixtures of the posteriors in a batch (after
        Nguyen et al. 2022, KL Guided Domain Adaptation). Latent dimensions of little rate that predictions can spare
        are then the same for all rows, since their means could tell what draws do not.
    n_estimators : int, default=1
        Networks, each with a seed and held-out rows of its own, trained together and stored in `estimators_`. Their
        predictions are averaged; their codes lie side by side, `n_estimators` times `latent_dim` numbers.
    n_train_draws : int, default=2
        Draws of z for each row and step; of two, one is the other's mirror image, so that their errors cancel.
    n_predict_draws : int, default=16
        Quasi-random points over which predictions average, the same for every row and call; 0 decodes
        the mean code.
    standardize : bool, default=True
        Standardise the columns of X inside, with the training rows' weighted statistics; with ``encoder="conv"``, each
        channel of the images.
    categorical_features : {"from_dtype"} or array-like or None, default="from_dtype"
        Columns of categories, which enter as zeros and ones; a value that was not there in training is zeros, and a gap
        is a value. "from_dtype" takes those of a data frame that hold categories or strings; else names, indices or
        a mask. A gap in a number is its mean, with a column of its own that says so if it had gaps in training.
    n_bins : int, default=0
        Ramps of each number: the encoder sees it as itself, and as so many that rise between quantiles of its distinct
        values, so it finds thresholds that trees find. Try 16, and of many rows 48. Columns of two values have none.
        They need dense X and hidden layers, and no `encoder`. Of a stream the first piece says where they lie.
    learning_rate_init : float, default=6e-3
        Initial step size of Adam.
    learning_rate : {"cosine", "constant"} or callable, default="cosine"
        "cosine" falls to zero over all of `max_iter`; "constant" stops when the loss no longer improves by
        `tol`. A callable maps progress in [0, 1) to a multiple of `learning_rate_init`.
    batch_size : int or "auto", default="auto"
        Rows of a step; "auto" is an eighth of the rows, between 32 and 200.
    max_iter : int, default=150
        Epochs.
    alpha : float, default=3.0
        Precision of a normal prior on the coefficients, which regularises where beta is too small to: the loss
        includes alpha / (2 n) times their squared norm, times (1 + 200 / n) / (1 + beta / .03). Here n is the sum of
        the weights, or the number of distinct rows if that is larger, and at least 100 in the second factor. A network
        for several betas has that of its least beta.
        Without `standardize` it charges those of the first layer less where inputs are small, by their mean square.
    ema_decay : float in [0, 1), default=0.99
        Decay for each step of a moving average of the weights, which then predicts; 0 is the last weights. It
        starts lower, so that a short training averages over its last tenth.
    early_stopping : bool or "auto", default="auto"
        Keep the weights of the epoch with the lowest loss on validation rows, and stop when it no longer improves.
        "auto" holds rows out if there are at least 20 distinct ones, since a network that knows its targets by heart
        predicts hardly any noise; True raises if there are too few.
    validation_fraction : float in (0, 1), default=0.1
        Part held out with `early_stopping`, unless `fit` is given `X_val`: every x with all its copies or not at all,
        and of an x whose many labels disagree this part of each.
    n_iter_no_change : int or inf, default=30
        Epochs without improvement before stopping.
    tol : float, default=1e-4
        What counts as an improvement, nats.
    warm_start : bool, default=False
        Let `fit` go on from the previous weights.
    device : str, default="auto"
        "auto" is CUDA where there is one, else the CPU; or any torch device.
    autocast : {"bfloat16"} or None, default=None
        Precision of the matrix products in training. A CPU without AVX-512 is far slower with bfloat16.
    verbose : bool or int, default=False
        Print loss, distortion, rate and time left.
    random_state : int, RandomState instance or None, default=None
        Decides initial weights, row order, noise and the validation split.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had string names.
    n_outputs_ : int
        Number of target columns.
    n_iter_ : int
        Epochs of the last fit.
    history_ : dict of ndarray
        "loss", "distortion", "rate" of each epoch, and "validation_log_likelihood"; nats.
    loss_, best_loss_ : float
        Loss of the last and of the best epoch, nats.
    loss_curve_, validation_scores_ : list of float
        Loss, and mean log-likelihood of the validation rows, of each epoch, nats.
    best_validation_score_ : float
        The best of `validation_scores_`.
    rate_, distortion_ : float
        Training means of KL(q(z|x) || p(z)) and, over draws of z, of -log q(y|z), nats.
    latent_rates_ : ndarray of shape (latent_dim,)
        The rate of each latent dimension, nats. They add up to `rate_` with ``latent_prior="normal"`` alone.
    prior_weights_, prior_means_, prior_scales_ : ndarray of shape (n_components,), (n_components, latent_dim)
        Those of the components of p(z), of a single network.
    n_active_ : int
        Dimensions above 0.01 nats.
    estimators_ : list
        The networks of an ensemble, plain fitted estimators; of a single one, itself.
    network_ : skvib.nn.network.VIBNetwork
        The fitted torch module, in eval mode.

    See Also
    --------
    VIBClassifier : The same for labels.
    sklearn.neural_network.MLPRegressor : A network without a bottleneck and without noise.

    Notes
    -----
    Rows are a weighted set: equal rows are merged, so weight k is k copies and the order of the rows
    does not matter.

    An ensemble is one code, that of all its networks side by side, and a decoder that averages what they say [2]_:
    `rate_` is the sum of their rates and `distortion_` that of the average, while `history_` holds the means of theirs.

    References
    ----------
    .. [1] Alemi, Fischer, Dillon and Murphy, "Deep Variational Information Bottleneck", ICLR 2017,
       equation 17.
    .. [2] Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
       Ensembles", NeurIPS 2017.
    .. [3] Kolchinsky, Tracey and Van Kuyk, "Caveats for information bottleneck in deterministic scenarios", ICLR 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skvib import VIBRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = VIBRegressor(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X, y)
    >>> mean, std = model.predict(X[:3], return_std=True)
    >>> mean.shape, std.shape
    ((3,), (3,))
    >>> model.predict(X[:3], quantiles=[0.05, 0.95]).shape
    (3, 2)
    """

    _parameter_constraints = {
        **BaseVIB._parameter_constraints,
        "noise": [StrOptions({"homoscedastic", "heteroscedastic"})],
    }
    __metadata_request__predict = {"return_std": True, "quantiles": True}

    def __init__(
        self,
        *,
        beta: float = 3e-3,
        latent_dim: int = 32,
        latent_prior: Literal["normal", "mixture", "class"] = "normal",
        rate_function: Literal["linear", "square"] = "linear",
        hidden_layer_sizes: int | ArrayLike = (256, 256),
        activation: Literal["relu", "silu", "gelu", "tanh"] = "relu",
        decoder_hidden_layer_sizes: int | ArrayLike = (),
        encoder: Literal["conv"] | nn.Module | Callable[[], nn.Module] | None = None,
        noise: Literal["homoscedastic", "heteroscedastic"] = "heteroscedastic",
        missing_label: float | str | None = None,
        invariance: float = 0.0,
        n_estimators: int = 1,
        n_train_draws: int = 2,
        n_predict_draws: int = 16,
        standardize: bool = True,
        categorical_features: Literal["from_dtype"] | ArrayLike | None = "from_dtype",
        n_bins: int = 0,
        learning_rate_init: float = 6e-3,
        learning_rate: Literal["cosine", "constant"] | Callable[[float], float] = "cosine",
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int = 150,
        alpha: float = 3.0,
        ema_decay: float = 0.99,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | float = 30,
        tol: float = 1e-4,
        warm_start: bool = False,
        device: str = "auto",
        autocast: Literal["bfloat16"] | None = None,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.beta = beta
        self.latent_dim = latent_dim
        self.latent_prior = latent_prior
        self.rate_function = rate_function
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.encoder = encoder
        self.noise = noise
        self.missing_label = missing_label
        self.invariance = invariance
        self.n_estimators = n_estimators
        self.n_train_draws = n_train_draws
        self.n_predict_draws = n_predict_draws
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.n_bins = n_bins
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.alpha = alpha
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.autocast = autocast
        self.verbose = verbose
        self.random_state = random_state

    @fit_context
    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        nuisance: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these rows, at a constant learning rate, without an average.

        The standardisation of X and y follows the stream; with an `encoder` of yours, that of X is the first piece's.
        ``alpha`` is divided by all rows seen, and pieces of fewer rows than a batch take shorter steps.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        nuisance : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
            What the code is not to tell, as for `fit`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If `early_stopping` is asked for, or a shape differs from that of the first call.
        """
        if self.early_stopping is True:
            raise ValueError("partial_fit does not support early_stopping=True")
        return self._fit(X, y, sample_weight, nuisance, incremental=True)

    def _learned_target(self, y, classes):
        return Numbers(self.noise, y.shape[1:])

    @property
    def _target(self):
        mean, scale = getattr(self, "_y_mean", None), getattr(self, "_y_scale", None)
        # the oldest stored models know no deviation
        known_share = getattr(self, "_y_known_share", 1.0)
        return Numbers(self.noise, self._y_shape, mean, getattr(self, "_y_deviation", scale), scale, known_share)

    @overload
    def predict(
        self, X: MatrixLike, *, return_std: Literal[False] = False, quantiles: ArrayLike | None = None
    ) -> np.ndarray: ...
    @overload
    def predict(self, X: MatrixLike, *, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...
    def predict(
        self, X: MatrixLike, *, return_std: bool = False, quantiles: ArrayLike | None = None
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Mean, standard deviation or quantiles of the predictive distribution.

        It is the mixture of the normal distributions q(y|z) over the fixed draws of z.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        return_std : bool, default=False
            Also return the standard deviation.
        quantiles : array-like of float in (0, 1), default=None
            Return these quantiles instead.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The mean; a tuple (mean, std) with `return_std`; with `quantiles`, an ndarray with these as its last
            axis, (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles).

        Raises
        ------
        ValueError
            If a quantile is not in (0, 1), or both options are asked for.
        """
        if quantiles is not None:
            quantiles = np.asarray(quantiles, dtype=float)
            if return_std:
                raise ValueError("Pass either return_std=True or quantiles, not both.")
            if quantiles.ndim != 1 or not ((quantiles > 0) & (quantiles < 1)).all():
                raise ValueError(f"quantiles must be a list of numbers in (0, 1); got {quantiles}.")

        def summarize(xp, likelihood, eta):
            target = self._target
            if quantiles is None and not return_std:
                return target.unscaled(likelihood.predictive(xp, eta), target.mean)
            means, scales = self._components(xp, likelihood, eta)
            if quantiles is not None:
                return target.unscaled(mixture_quantiles(means, scales, quantiles), target.mean)
            std = (means.var(0, correction=0) + scales.square().mean(0)).sqrt()
            return target.unscaled(means.mean(0), target.mean), target.unscaled(std)

        return self._map_draws(X, summarize, np.float64)

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R^2 of `predict`; of several outputs, its mean over them.

        Each is of the rows that have it, of which it needs two.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            At most 1.
        """
        X, y, sample_weight = rows_with_target(X, y, sample_weight, self.missing_label)
        gaps = gaps_in(y, self.missing_label)
        if gaps is None:
            return super().score(X, y, sample_weight)
        check_consistent_length(X, y, sample_weight)
        predicted = self.predict(X)
        y = self._target.encode(checked_outputs(y, gaps, are_numbers=True))
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        own = (np.isfinite(y) & (weights[:, np.newaxis] > 0)).T
        known = [(output, np.flatnonzero(rows)) for output, rows in enumerate(own) if rows.sum() > 1]
        return float(np.mean([r2_score(y[k, o], predicted[k, o], sample_weight=weights[k]) for o, k in known]))

    def _components(self, xp, likelihood, eta):
        """Means and standard deviations of q(y|z) at all draws, (S, n, n_outputs), float64."""
        by_network = eta.reshape(len(self.estimators_), -1, eta.shape[-1])
        parts = (part.cpu().double() for part in likelihood.moments(xp, by_network))
        return [part.reshape(*eta.shape[:2], -1) for part in torch.broadcast_tensors(*parts)]

    def disagreement_samples(self, X: MatrixLike) -> np.ndarray:
        """How far the networks of an ensemble disagree on each row: the mutual information of target and network.

        It is what more training rows could settle, estimated at quasi-random draws of the target, and large far from
        them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        disagreement : ndarray of shape (n_samples,)
            In nats, from 0 to log(n_estimators).

        Raises
        ------
        ValueError
            If there is a single network.

        References
        ----------
        Depeweg, Hernandez-Lobato, Doshi-Velez and Udluft, Decomposition of Uncertainty in Bayesian Deep Learning for
        Efficient and Risk-sensitive Learning, ICML 2018, equation 3.
        """
        self._check_several()
        n_networks, varies = len(self._members), self._target.deviation > 0

        def disagreement(xp, likelihood, eta):
            means, scales = (part[..., varies] for part in self._components(xp, likelihood, eta))
            return mixture_information(means, scales, n_networks)

        return self._map_draws(X, disagreement, np.float64)
