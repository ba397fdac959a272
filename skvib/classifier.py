"""VIBClassifier: probabilities, and the labels that they make most likely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from torch import nn

from skvib.base import BaseVIB
from skvib.containers import plain_targets
from skvib.private import StrOptions, fit_context
from skvib.targets import Indicators, Labels, learned_classes
from skvib.typing import MatrixLike
from skvib.unlabelled import refuse_missing, rows_with_target


class VIBClassifier(ClassifierMixin, BaseVIB):
    """Classifier with a Variational Information Bottleneck.

    A network maps each row to a Gaussian code q(z|x) and predicts from draws of it. Training minimises
    distortion + beta * rate: the mean of -log q(y|z) plus `beta` times KL(q(z|x) || N(0, I)), the nats that
    the code carries about X [1]_. Targets may be binary, multiclass or a multilabel indicator.

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
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, 1 where a dict has none; "balanced" makes their weighted counts equal. A label that y
        lacks may have a weight, as in scikit-learn, if all labels of y have one.
    missing_label : int, float, str or None, default=None
        The value of y that says that a row has no target, such as -1, or NaN, which stands for all gaps. Such rows pay
        their rate and are never held out. Their labels are guessed, if there is one a row: the loss asks for
        predictions that are sure of every row, and in the mean as frequent as the labels that are known (after [4]_).
        How much this weighs is told by five folds of the labelled rows: t is the share of H(Y) that networks of four
        find out about the fifth. As n in `alpha` a row without a label counts t^5 of one. If the labels are learned
        less well than that, the fit is that of the labelled rows alone, and warns. In a stream nothing is guessed.
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
        includes alpha / (2 n) times their squared norm, times (1 + 400 / (n K)) / (1 + beta / .03) for K classes; K is
        2 for several labels a row. Here n is the sum of the weights, or the number of distinct rows if that is larger,
        and at least 30. In the second factor it is at least 100, and of rows whose labels are nearly all the same only
        a share counts: Gini's index over its largest value. A network for several betas has that of its least beta.
        Without `standardize` it charges those of the first layer less where inputs are small, by their mean square.
    ema_decay : float in [0, 1), default=0.99
        Decay for each step of a moving average of the weights, which then predicts; 0 is the last weights. It
        starts lower, so that a short training averages over its last tenth.
    early_stopping : bool or "auto", default="auto"
        Keep the weights of the epoch with the lowest loss on validation rows, and stop when it no longer improves.
        "auto" holds rows out if there are at least 100 distinct ones with a label, but not where most lack one and are
        guessed for sure; True raises if there are too few.
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
    classes_ : ndarray of shape (n_classes,)
        The labels in y, those of rows without weight, too; for a multilabel target, the indices of its columns.
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
    VIBRegressor : The same for continuous targets.
    sklearn.neural_network.MLPClassifier : A network without a bottleneck.

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
    .. [4] Krause, Perona and Gomes, "Discriminative Clustering by Regularized Information Maximization", NIPS 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), latent_dim=2, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    >>> model.transform(X).shape
    (150, 2)
    """

    _parameter_constraints = {
        **BaseVIB._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

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
        class_weight: dict | Literal["balanced"] | None = None,
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
        self.class_weight = class_weight
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
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        nuisance: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these rows, at a constant learning rate, without an average.

        The standardisation of X follows the stream; with an `encoder` of yours, it is the first piece's. ``alpha`` is
        divided by all rows seen, and pieces of fewer rows than a batch take shorter steps.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their targets.
        classes : array-like, default=None
            All labels there will ever be; required at the first call.
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
            If `classes` is missing at the first call or changes later, a label is not among them, or
            `early_stopping` or a balanced `class_weight` is asked for.
        """
        if self.early_stopping is True:
            raise ValueError("partial_fit does not support early_stopping=True")
        if isinstance(self.class_weight, str):
            raise ValueError(
                'class_weight="balanced" needs all rows at once and is not supported by partial_fit: pass the '
                "weights as a dict."
            )
        if classes is None and not self._is_trained:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        refuse_missing(classes, self.missing_label)
        return self._fit(X, y, sample_weight, nuisance, incremental=True, classes=classes)

    def _learned_target(self, y, classes):
        return learned_classes(y, classes)

    @property
    def _target(self):
        return (Indicators if self._is_multilabel else Labels)(self.classes_)

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """The posterior predictive E_q(z|x)[q(y|z)].

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for a multilabel target, the probability of each label.
        """
        return self._map_draws(X, lambda xp, likelihood, eta: likelihood.predictive(xp, eta))

    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Logarithm of `predict_proba`, without underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._map_draws(X, lambda xp, likelihood, eta: likelihood.log_predictive(xp, eta))

    def predict(self, X: MatrixLike) -> np.ndarray:
        """The most probable label; for a multilabel target, all labels more probable than not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Their targets.
        """
        p = self.predict_proba(X)
        if self._is_multilabel:
            return (p > 0.5).astype(int)
        return self.classes_[p.argmax(axis=1)]

    def disagreement_samples(self, X: MatrixLike) -> np.ndarray:
        """How far the networks of an ensemble disagree on each row: the mutual information of target and network.

        It is what more training rows could settle; what is left of the entropy of `predict_proba` they could not.
        Far beyond the training rows networks may be sure and agree: `outlier_scores` sees such rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        disagreement : ndarray of shape (n_samples,)
            In nats, from 0 to log(n_estimators); summed over the labels of a multilabel target.

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
        n_networks, entropies = len(self._members), self._target.entropies

        def of_networks(xp, likelihood, eta):
            return torch.stack([likelihood.predictive(xp, own) for own in eta.chunk(n_networks)], 1)

        p = self._map_draws(X, of_networks, np.float64)
        of_each = [entropies(p[:, k]) for k in range(n_networks)]
        return np.maximum(entropies(p.mean(axis=1)) - np.mean(of_each, axis=0), 0.0)

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The accuracy of `predict`, of rows that have a target; of a multilabel target, of whole rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            A share of the weight.
        """
        return super().score(*rows_with_target(X, plain_targets(y), sample_weight, self.missing_label))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
