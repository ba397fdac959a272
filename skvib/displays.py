"""What a bottleneck keeps, drawn by matplotlib, in scikit-learn's convention: `from_...` measures, `plot` draws.

Series differ in line and marker besides colour, and colours (Okabe and Ito 2008) in lightness, so that figures read in
grey. matplotlib is imported only to draw; with a given `ax`, pyplot is not.
"""

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from skvib.bounds import at_the_end_of, best_and_compressed, rates_of, unwrapped
from skvib.information import (
    ACTIVE_NATS,
    NATS_IN,
    beta_grid,
    feature_information,
    fit_at_betas,
    information_plane,
    latent_information,
)
from skvib.rows import targets_array

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "0.45"
CLASS_STYLES = (
    *(("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#56B4E9", "v")),
    *(("#D55E00", "P"), ("#000000", "*"), ("#F0E442", "X"), ("#882255", "<"), ("#999999", ">")),
)
N_ELLIPSES = 100
TWIN = 0.97  # dimensions so correlated draw a line
SHARP_NATS = 0.5


class InformationPlaneDisplay:
    """Information plane: what the code says of the target against what it says of the input.

    Make one with `from_path` or `from_estimator`.

    Parameters
    ----------
    plane : InformationPlane
        What to draw.
    beta : float, default=None
        The chosen beta; the nearest of the plane is marked.
    limit : tuple of ndarray, default=None
        Another curve (I(X;Z), I(Z;Y)) to compare with, such as `gaussian_limit`, in the unit of the plane.

    Attributes
    ----------
    line_ : matplotlib.lines.Line2D
        The codes, I(X;Z) midway between its bounds.
    rate_line_ : matplotlib.lines.Line2D
        The same at their rates.
    frontier_ : matplotlib.collections.PolyCollection
        What is possible, I(Z;Y) <= min(I(X;Z), H(Y)).
    limit_line_, chosen_ : matplotlib.lines.Line2D or None
        The other curve and the mark of the chosen beta.
    ax_ : matplotlib.axes.Axes
        Where it is drawn.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    information_plane : Measures it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import InformationPlaneDisplay, VIBClassifier, beta_path
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), random_state=0)
    >>> path = beta_path(model, X[::2], y[::2], betas=4, X_val=X[1::2], y_val=y[1::2])
    >>> display = InformationPlaneDisplay.from_path(path)
    >>> display.ax_.get_ylabel()
    'I(Z;Y), at least (nats)'
    """

    def __init__(self, plane, *, beta=None, limit=None):
        self.plane, self.beta, self.limit = plane, beta, limit

    @classmethod
    def from_path(cls, path, X=None, y=None, *, beta=None, limit=None, ax=None, **options):
        """Measure and draw the plane of a BetaPath.

        Parameters
        ----------
        path : BetaPath
            Its estimators are measured.
        X, y : array-like, default=None
            Rows to measure on; by default those that the path's `information` is of.
        beta : float, default=None
            The chosen beta; by default the "1se" choice, if the path has validation rows.
        limit : tuple of ndarray, default=None
            Another curve (I(X;Z), I(Z;Y)).
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **options : dict
            Of `information_plane`.

        Returns
        -------
        display : InformationPlaneDisplay
            Itself, drawn.
        """
        if not hasattr(path, "at_beta"):
            raise TypeError(f"{type(path).__name__} is no BetaPath: use InformationPlaneDisplay.from_estimator.")
        if beta is None and path.information_rows == "validation":
            beta = path.choose("1se")
        return cls(information_plane(path, X, y, **options), beta=beta, limit=limit).plot(ax=ax)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, beta=None, limit=None, ax=None, **options):
        """Measure and draw the plane of a fitted search over beta, of an estimator, or of a list of them.

        Parameters
        ----------
        estimator : fitted search over beta, VIBClassifier, VIBRegressor, Pipeline that ends in one, or list of these
            What is measured; one estimator is one point.
        X, y : array-like
            Rows to measure on. A search is refitted at its betas on the options `X_train` and `y_train`, by default
            on X and y.
        beta : float, default=None
            The chosen beta; by default that of the search.
        limit : tuple of ndarray, default=None
            Another curve (I(X;Z), I(Z;Y)).
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **options : dict
            Of `information_plane`.

        Returns
        -------
        display : InformationPlaneDisplay
            Itself, drawn.
        """
        if beta is None and not isinstance(estimator, list | tuple):
            beta = unwrapped(estimator)[1].beta
        if not isinstance(estimator, list | tuple) and not hasattr(at_the_end_of(estimator)[1], "cv_results_"):
            estimator = [estimator]
        return cls(information_plane(estimator, X, y, **options), beta=beta, limit=limit).plot(ax=ax)

    def plot(self, *, ax=None, **line_kw):
        """Draw the plane.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **line_kw : dict
            Style of the codes' line.

        Returns
        -------
        display : InformationPlaneDisplay
            Itself, drawn.
        """
        self.ax_, self.figure_ = ax, _ = _axes(ax)
        plane, unit = self.plane, self.plane.unit
        x, y = 0.5 * (plane.x_lower + plane.x_upper), plane.y_lower
        xerr = np.abs(plane.x_upper - x)
        limit = (np.zeros(0),) * 2 if self.limit is None else self.limit
        # cheap codes keep more than pairs of rows can measure, and rates of hundreds of nats: they leave the frame
        is_sharp = xerr < SHARP_NATS / NATS_IN[unit]
        k = None if self.beta is None else int(np.abs(plane.betas - self.beta).argmin())
        x_max = 1.15 * max(*plane.x_upper[is_sharp], *limit[0], x.min(), 0.1 if k is None else x[k])
        ceiling = np.inf if plane.entropy is None else plane.entropy
        bound = np.unique([0.0, min(ceiling, x_max), x_max])
        self.frontier_ = ax.fill_between(
            bound,
            np.minimum(bound, ceiling),
            facecolor="none",
            edgecolor="0.5",
            label="possible: I(Z;Y) ≤ min(I(X;Z), H(Y))",
        )
        (self.rate_line_,) = ax.plot(plane.rate, y, ls=":", marker=".", color=GREY, label="at the rate R ≥ I(X;Z)")
        style = {"color": BLUE, "marker": "o", "ms": 4, "label": f"codes ({plane.rows} rows)"} | line_kw
        self.line_ = ax.errorbar(x, y, yerr=plane.y_lower_se, xerr=xerr, elinewidth=1, **style).lines[0]
        self.limit_line_ = self.chosen_ = None
        if self.limit is not None:
            (self.limit_line_,) = ax.plot(*limit, ls="--", color="black", label="limit")
        if k is not None:
            style = {"ls": "", "marker": "*", "ms": 14, "mec": "black", "color": ORANGE}
            (self.chosen_,) = ax.plot(x[k], y[k], label=f"chosen: β = {plane.betas[k]:.2g}", **style)
        ends = {int(np.flatnonzero(x < x_max)[0]): "right", len(x) - 1: "left"}
        for k, side in ends.items():
            style = {"textcoords": "offset points", "ha": side, "fontsize": "small"}
            ax.annotate(f"β = {plane.betas[k]:.2g}", (x[k], y[k]), (0, -14), **style)
        top = max(*y, *limit[1]) * 1.2 if plane.entropy is None else max(*y, *limit[1], min(ceiling, x_max))
        ax.set(xlim=(0.0, x_max), ylim=(min(0.0, 1.1 * y.min()), 1.08 * top))
        ax.set(xlabel=f"I(X;Z), between its bounds ({unit})", ylabel=f"I(Z;Y), at least ({unit})")
        ax.legend(loc="lower right", fontsize="small")
        return self


class BetaPathDisplay:
    """Score, rate and active dimensions against beta, with the two choices.

    Make one with `from_path` or `from_estimator`.

    Parameters
    ----------
    betas : ndarray of shape (n_betas,)
        In increasing order.
    score, score_se : ndarray of shape (n_betas,)
        What is chosen by, and its standard error.
    rate : ndarray of shape (n_betas,), default=None
        Nats.
    n_active : ndarray of shape (n_betas,), default=None
        Active latent dimensions.
    score_name : str, default="score"
        Label of its axis.

    Attributes
    ----------
    best_beta_, compressed_beta_ : float
        The beta of the best score, and the largest one within a standard error of it.
    line_, rate_line_, active_line_ : matplotlib.lines.Line2D
        Score, rate and active dimensions; None where they are not known.
    ax_ : matplotlib.axes.Axes
        Where it is drawn.
    axes_ : ndarray of matplotlib.axes.Axes of shape (1,) or (3,)
        The panels inside `ax_`, from top to bottom.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    beta_path : Every beta from one training.
    BetaSearchCV : Chooses by cross-validation.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import BetaPathDisplay, VIBClassifier, beta_path
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), random_state=0)
    >>> path = beta_path(model, X[::2], y[::2], betas=4, X_val=X[1::2], y_val=y[1::2])
    >>> display = BetaPathDisplay.from_path(path)
    >>> display.compressed_beta_ == path.choose("1se")
    True
    """

    def __init__(self, betas, score, score_se, rate=None, n_active=None, *, score_name="score"):
        self.betas, self.score, self.score_se = betas, score, score_se
        self.rate, self.n_active, self.score_name = rate, n_active, score_name

    @classmethod
    def from_path(cls, path, *, ax=None):
        """Draw a BetaPath by its log-likelihoods.

        Parameters
        ----------
        path : BetaPath
            What is drawn.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        display : BetaPathDisplay
            Itself, drawn.
        """
        name = f"log-likelihood,\n{path.information_rows} rows (nats)"
        columns = path.log_likelihoods, path.log_likelihoods_se, path.rate, path.n_active
        return cls(path.betas, *columns, score_name=name).plot(ax=ax)

    @classmethod
    def from_estimator(cls, estimator, X=None, y=None, *, ax=None):
        """Draw a fitted search over beta by its cross-validated score.

        Parameters
        ----------
        estimator : fitted BetaSearchCV or other search over beta alone, or Pipeline that ends in one
            Its `cv_results_` are drawn.
        X, y : array-like, default=None
            With them clones of its `best_estimator_` are fitted at each beta, together, for their rates, which are
            drawn too.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        display : BetaPathDisplay
            Itself, drawn.
        """
        if (X is None) != (y is None):
            raise ValueError("X and y, the rows to fit on, go together.")
        prepare, estimator = at_the_end_of(estimator)
        X = X if X is None else prepare(X)
        name, betas = beta_grid(estimator, is_refitted=X is not None)
        results, n_splits = estimator.cv_results_, estimator.n_splits_
        if "mean_test_score" not in results:
            raise ValueError("BetaPathDisplay draws a search by a single metric; this one has several.")
        if len(results["params"]) != len(betas):
            raise ValueError("BetaPathDisplay draws a search over beta alone; this one has other parameters, too.")
        order = np.argsort([params[name] for params in results["params"]])
        errors = results["std_test_score"][order] / np.sqrt(max(n_splits - 1, 1))
        kept = ()
        if X is not None:
            models = [unwrapped(model)[1] for model in fit_at_betas(estimator, X, y)]
            kept = np.array([model.rate_ for model in models]), np.array([model.n_active_ for model in models])
        scores = results["mean_test_score"][order]
        name = f"{_name_of_score(estimator)},\n{n_splits} folds"
        return cls(betas, scores, errors, *kept, score_name=name).plot(ax=ax)

    @property
    def best_beta_(self):
        """The beta of the best score."""
        return best_and_compressed(self.betas, self.score, self.score_se)[0]

    @property
    def compressed_beta_(self):
        """The largest beta whose score is within a standard error of the best."""
        return best_and_compressed(self.betas, self.score, self.score_se)[1]

    def plot(self, *, ax=None, **line_kw):
        """Draw the panels inside `ax`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **line_kw : dict
            Style of the lines.

        Returns
        -------
        display : BetaPathDisplay
            Itself, drawn.
        """
        is_alone = self.rate is None
        self.ax_, self.figure_ = _axes(ax, figsize=(6.4, 3.6 if is_alone else 6.4))
        self.ax_.set_axis_off()
        frames = (0.0, 0.62, 1.0, 0.38), (0.0, 0.31, 1.0, 0.27), (0.0, 0.0, 1.0, 0.27)
        frames = ((0.0, 0.0, 1.0, 1.0),) if is_alone else frames
        self.axes_ = np.array([self.ax_.inset_axes(frame) for frame in frames])
        score, style = self.axes_[0], {"marker": "o", "ms": 4} | line_kw
        bars = score.errorbar(self.betas, self.score, self.score_se, color=BLUE, capsize=2, **style)
        self.line_, self.rate_line_, self.active_line_ = bars.lines[0], None, None
        best = np.nanargmax(self.score)
        span = max(10 * self.score_se[best], 0.6 * np.ptp(self.score[np.isfinite(self.score)]), 1e-3)
        band = score.axhspan(self.score[best] - self.score_se[best], self.score[best], color="0.88")
        score.set_ylim(self.score[best] - span, self.score[best] + 0.15 * span)
        score.set_ylabel(self.score_name)
        if not is_alone:
            self._plot_kept(*self.axes_[1:], style)
        self.axes_[-1].set_xlabel("beta, price of a nat")
        for panel in self.axes_:
            _scale_betas(panel, self.betas)
            best_line = panel.axvline(self.best_beta_, color=GREY, ls=":")
            compressed_line = panel.axvline(self.compressed_beta_, color=ORANGE, ls="-.")
            if panel is not self.axes_[-1]:
                panel.tick_params(labelbottom=False)
        named = {
            f"best: β = {self.best_beta_:.2g}": best_line,
            f"most compressed as good: β = {self.compressed_beta_:.2g}": compressed_line,
            "one standard error below the best": band,
        }
        score.legend(named.values(), named.keys(), loc="lower left", fontsize="small")
        return self

    def _plot_kept(self, rate, active, style):
        (self.rate_line_,) = rate.plot(self.betas, self.rate, color=GREEN, **style | {"marker": "s"})
        rate.set(yscale="log", ylabel="rate (nats)")
        (self.active_line_,) = active.plot(
            self.betas, self.n_active, color="black", drawstyle="steps-mid", **style | {"marker": "."}
        )
        active.set(ylabel="active\ndimensions")
        active.set_ylim(bottom=0)


class TrainingCurveDisplay:
    """Loss of each epoch, split in what it pays for errors and for information.

    Make one with `from_estimator`.

    Parameters
    ----------
    history : dict of ndarray
        "loss", "distortion", "rate" of each epoch, and "validation_log_likelihood" if there is one; nats.
    beta : float
        Price of a nat.

    Attributes
    ----------
    best_epoch_ : int or None
        Epoch of the best validation log-likelihood, from 1.
    line_ : matplotlib.lines.Line2D
        The loss.
    distortion_line_, rate_line_ : matplotlib.lines.Line2D
        The distortion, and beta times the rate. While beta warms up, the loss is below their sum.
    validation_line_ : matplotlib.lines.Line2D or None
        Minus the log-likelihood of validation rows.
    ax_ : matplotlib.axes.Axes
        Where it is drawn.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    VIBClassifier : Its `history_` is what is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import TrainingCurveDisplay, VIBClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), random_state=0)
    >>> display = TrainingCurveDisplay.from_estimator(model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2]))
    >>> len(display.line_.get_xdata()) == model.n_iter_
    True
    """

    def __init__(self, history, beta):
        self.history, self.beta = history, beta

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
            Whose `history_` is drawn.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        display : TrainingCurveDisplay
            Itself, drawn.
        """
        _, vib = unwrapped(estimator)
        check_is_fitted(vib)
        return cls(vib.history_, vib.beta).plot(ax=ax)

    @property
    def best_epoch_(self):
        """Epoch of the lowest loss of validation rows, from 1; None without them."""
        losses = self._validation_losses()
        return None if losses is None else int(np.nanargmin(losses)) + 1

    def _validation_losses(self):
        scores = self.history.get("validation_log_likelihood")
        return None if scores is None or len(scores) == 0 else self.beta * self.history["rate"] - scores

    def plot(self, *, ax=None, **line_kw):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **line_kw : dict
            Style of all lines.

        Returns
        -------
        display : TrainingCurveDisplay
            Itself, drawn.
        """
        self.ax_, self.figure_ = ax, _ = _axes(ax)
        epochs = np.arange(1, len(self.history["loss"]) + 1)

        def draw(values, label, **style):
            return ax.plot(epochs, values, label=label, **style | line_kw)[0]

        price = self.beta * self.history["rate"]
        self.line_ = draw(self.history["loss"], "loss", color="black", lw=2)
        self.distortion_line_ = draw(self.history["distortion"], "distortion", color=BLUE, ls="--")
        self.rate_line_ = draw(price, f"β · rate, β = {self.beta:.2g}", color=ORANGE, ls=":", lw=2)
        self.validation_line_ = None
        shown = [self.history["loss"], self.history["distortion"], price]
        losses = self._validation_losses()
        if losses is not None:
            shown.append(losses)
            self.validation_line_ = draw(losses, "loss, validation", color=GREEN, ls="-.")
            ax.axvline(self.best_epoch_, color=GREY, lw=1, label=f"best epoch: {self.best_epoch_}")
        if min(np.nanmin(values) for values in shown) > 0:
            ax.set_yscale("log")
        ax.set(xlabel="epoch", ylabel="nats")
        ax.legend(fontsize="small")
        return self


class LatentDisplay:
    """Two dimensions of the code of each row, with ellipses of its posterior.

    Make one with `from_estimator`.

    Parameters
    ----------
    mu, sigma : ndarray of shape (n_samples, latent_dim)
        Mean and standard deviation of the code of each row.
    y : ndarray of shape (n_samples,), default=None
        Labels or numbers to colour by.
    dimensions : tuple of int, default=None
        The two dimensions; by default the one of the highest rate, and the next of those that differ
        from it, with an absolute correlation below .97.

    Attributes
    ----------
    dimensions_ : tuple of int
        The two dimensions.
    line_ : list of matplotlib.collections.PathCollection
        The means, by class.
    ellipses_ : matplotlib.collections.EllipseCollection
        One standard deviation around the means, of at most 100 rows.
    ax_ : matplotlib.axes.Axes
        Where it is drawn.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    VIBClassifier.encode : The posterior of each row.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import LatentDisplay, VIBClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), latent_dim=2, beta=0.1, random_state=0).fit(X, y)
    >>> display = LatentDisplay.from_estimator(model, X, y)
    >>> len(display.line_)  # a collection for each class
    3
    """

    def __init__(self, mu, sigma, y=None, *, dimensions=None):
        self.mu, self.sigma, self.y, self.dimensions = mu, sigma, y, dimensions

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, dimensions=None, ax=None, **scatter_kw):
        """Draw the codes of rows.

        Parameters
        ----------
        estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
            Whose codes are drawn.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.
        y : array-like of shape (n_samples,), default=None
            Labels or numbers to colour by.
        dimensions : tuple of int, default=None
            The two dimensions; by default the one of the highest rate, and the next of those that differ from it,
            with an absolute correlation below .97.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **scatter_kw : dict
            Style of the means.

        Returns
        -------
        display : LatentDisplay
            Itself, drawn.
        """
        prepare, vib = unwrapped(estimator)
        mu, sigma = vib.encode(prepare(X))
        if y is not None:
            y = column_or_1d(targets_array(y))
            check_consistent_length(mu, y)
        latent_dim = mu.shape[1]
        if dimensions is not None and (len(dimensions) != 2 or not all(0 <= k < latent_dim for k in dimensions)):
            raise ValueError(f"dimensions must be two of {latent_dim} latent dimensions; got {dimensions}.")
        return cls(mu, sigma, y, dimensions=dimensions).plot(ax=ax, **scatter_kw)

    @property
    def dimensions_(self):
        """The two dimensions; one alone is drawn against zero."""
        if self.dimensions is not None:
            return tuple(self.dimensions)
        rates = rates_of(self.mu, self.sigma).mean(axis=0)
        first = int(rates.argmax())
        if len(rates) == 1:
            return (first,)
        centred = self.mu - self.mu.mean(axis=0)
        norms = np.maximum(np.sqrt(np.sum(centred**2, axis=0)), np.finfo(centred.dtype).tiny)
        likeness = np.abs(centred.T @ (centred[:, first] / norms[first])) / norms
        differs = np.flatnonzero((likeness < TWIN) & (np.arange(len(rates)) != first))
        likeness[first] = np.inf
        second = differs[rates[differs].argmax()] if len(differs) else likeness.argmin()
        return tuple(sorted((first, int(second))))

    def plot(self, *, ax=None, **scatter_kw):
        """Draw the codes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **scatter_kw : dict
            Style of the means.

        Returns
        -------
        display : LatentDisplay
            Itself, drawn.
        """
        self.ax_, self.figure_ = ax, _ = _axes(ax)
        from matplotlib.collections import EllipseCollection

        names = [f"z[{k}]" for k in self.dimensions_]
        centers, widths = self.mu[:, self.dimensions_], self.sigma[:, self.dimensions_]
        if len(names) == 1:
            centers, widths = (np.column_stack([part, np.zeros(len(part))]) for part in (centers, widths))
            names.append("")
        style = {"s": 14, "linewidths": 0.3, "edgecolors": "white", "zorder": 2} | scatter_kw
        classes, codes = ([], None) if self.y is None else np.unique(self.y, return_inverse=True)
        if self.y is None or len(classes) > len(CLASS_STYLES):
            values = self.y if self.y is not None and np.issubdtype(self.y.dtype, np.number) else codes
            coloured = {} if self.y is None else {"c": values, "cmap": "cividis"}
            self.line_ = [ax.scatter(*centers.T, **coloured, **style)]
            if self.y is not None:
                ax.figure.colorbar(self.line_[0], ax=ax, label="y")
        else:
            self.line_ = [
                ax.scatter(*centers[self.y == label].T, color=color, marker=marker, label=str(label), **style)
                for label, (color, marker) in zip(classes, CLASS_STYLES, strict=False)
            ]
            ax.legend(title="y", fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        shown = np.linspace(0, len(centers) - 1, min(N_ELLIPSES, len(centers))).astype(int)
        self.ellipses_ = EllipseCollection(
            *2 * widths[shown].T, np.zeros(len(shown)), units="xy", offsets=centers[shown],
            transOffset=ax.transData, facecolors="none", edgecolors="0.7", linewidths=0.5, zorder=1,
        )  # fmt: skip
        ax.add_collection(self.ellipses_)
        ax.margins(0.12)
        ax.set(xlabel=f"{names[0]}, mean ± one standard deviation", ylabel=names[1])
        return self


class LatentRatesDisplay:
    """The rate of each latent dimension, from the highest to the lowest.

    Make one with `from_estimator`.

    Parameters
    ----------
    rates : ndarray of shape (latent_dim,)
        Rates.
    information : LatentInformation, default=None
        What each dimension says beyond the others, drawn in the bars.
    unit : {"nats", "bits"}, default="nats"
        Unit of the rates.

    Attributes
    ----------
    bars_ : matplotlib.container.BarContainer
        The rates.
    line_ : matplotlib.lines.Line2D
        Where a dimension begins to count as active.
    added_lines_ : list of matplotlib.lines.Line2D
        What each dimension says of X, and of y, beyond the others; empty without `information`.
    ax_ : matplotlib.axes.Axes
        Where it is drawn.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    latent_information : What each dimension keeps.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import LatentRatesDisplay, VIBClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), latent_dim=8, beta=0.1, random_state=0).fit(X, y)
    >>> display = LatentRatesDisplay.from_estimator(model)
    >>> len(display.bars_)
    8
    """

    def __init__(self, rates, *, information=None, unit="nats"):
        self.rates, self.information, self.unit = rates, information, unit

    @classmethod
    def from_estimator(cls, estimator, X=None, y=None, *, unit="nats", ax=None, **options):
        """Draw the rates of a fitted estimator.

        Parameters
        ----------
        estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
            Whose code is measured.
        X, y : array-like, default=None
            Rows to measure on; without, the rates are those of the training rows.
        unit : {"nats", "bits"}, default="nats"
            Unit of the rates.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **options : dict
            Of `latent_information`, with X.

        Returns
        -------
        display : LatentRatesDisplay
            Itself, drawn.
        """
        if X is not None:
            information = latent_information(estimator, X, y, unit=unit, **options)
            return cls(information.rate, information=information, unit=unit).plot(ax=ax)
        if options or unit not in NATS_IN:
            raise ValueError(f"Without X the unit is one of {list(NATS_IN)} and there are no options; got {options}.")
        _, vib = unwrapped(estimator)
        check_is_fitted(vib)
        return cls(vib.latent_rates_ / NATS_IN[unit], unit=unit).plot(ax=ax)

    def plot(self, *, ax=None, **bar_kw):
        """Draw the rates.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **bar_kw : dict
            Style of the bars.

        Returns
        -------
        display : LatentRatesDisplay
            Itself, drawn.
        """
        self.ax_, self.figure_ = ax, _ = _axes(ax)
        order = np.argsort(-self.rates, kind="stable")
        places = np.arange(len(order))
        style = {"color": "#56B4E9", "edgecolor": "black", "linewidth": 0.5, "label": "rate"} | bar_kw
        self.bars_ = ax.bar(places, self.rates[order], **style)
        self.added_lines_ = []
        if self.information is not None:
            parts = [("x_added", "o", ORANGE, "adds about X"), ("y_added", "D", "black", "adds about y")]
            for name, marker, color, label in parts:
                values, errors = getattr(self.information, name), getattr(self.information, f"{name}_se")
                if values is not None:
                    bars = ax.errorbar(
                        places,
                        values[order],
                        errors[order],
                        ls="",
                        marker=marker,
                        ms=5,
                        mec="black",
                        color=color,
                        label=label,
                    )
                    self.added_lines_.append(bars.lines[0])
        self.line_ = ax.axhline(ACTIVE_NATS / NATS_IN[self.unit], color="black", ls="--", lw=0.8, label="active above")
        step = max(1, len(order) // 16)
        ax.set_xticks(places[::step], [str(k) for k in order[::step]])
        ax.set(xlabel="latent dimension, by rate", ylabel=f"information ({self.unit})")
        ax.legend(fontsize="small")
        return self


class FeatureInformationDisplay:
    """What the target loses without each input feature, from the most to the least, and what the code kept of it.

    Make one with `from_estimator`.

    Parameters
    ----------
    information : FeatureInformation
        What to draw.
    max_features : int, default=20
        Draw only so many features: those without which the target loses most, or, without a target, those of which
        the code kept most.

    Attributes
    ----------
    bars_ : matplotlib.container.BarContainer
        What the prediction of y loses without each feature; without a target, what the code says of it.
    line_ : matplotlib.lines.Line2D or None
        With a target, what the code says of each feature beyond the others: a network that has learnt noise keeps
        much of a feature that the target does not need.
    ax_ : matplotlib.axes.Axes
        Where it is drawn.
    figure_ : matplotlib.figure.Figure
        Its figure.

    See Also
    --------
    feature_information : Measures it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import FeatureInformationDisplay, VIBClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X, y)
    >>> display = FeatureInformationDisplay.from_estimator(model, X, y)
    >>> len(display.bars_)
    4
    """

    def __init__(self, information, *, max_features=20):
        self.information, self.max_features = information, max_features

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, max_features=20, ax=None, **options):
        """Measure and draw what a fitted estimator kept of its features.

        Parameters
        ----------
        estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
            Whose code is measured.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to measure on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.
        max_features : int, default=20
            Draw only so many features.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **options : dict
            Of `feature_information`.

        Returns
        -------
        display : FeatureInformationDisplay
            Itself, drawn.
        """
        return cls(feature_information(estimator, X, y, **options), max_features=max_features).plot(ax=ax)

    def plot(self, *, ax=None, **bar_kw):
        """Draw the features.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.
        **bar_kw : dict
            Style of the bars.

        Returns
        -------
        display : FeatureInformationDisplay
            Itself, drawn.
        """
        self.ax_, self.figure_ = ax, _ = _axes(ax)
        found = self.information
        kept, lost = (found.x_kept, found.x_kept_se), (found.y_lost, found.y_lost_se)
        values, errors = kept if found.y_lost is None else lost
        order = np.argsort(-values, kind="stable")[: self.max_features][::-1]
        places = np.arange(len(order))
        label = "kept by the code" if found.y_lost is None else "lost about y without it"
        style = {"color": "#56B4E9", "edgecolor": "black", "linewidth": 0.5, "label": label} | bar_kw
        self.bars_ = ax.barh(places, values[order], xerr=errors[order], **style)
        self.line_ = None
        if found.y_lost is not None:
            style = {"ls": "", "marker": "D", "ms": 5, "color": "black", "label": "kept by the code"}
            bars = ax.errorbar(kept[0][order], places, xerr=kept[1][order], **style)
            self.line_ = bars.lines[0]
        ax.axvline(0.0, color="black", lw=0.8)
        ax.set_yticks(places, [found.names[k] for k in order])
        ax.set_xlabel(f"information ({found.unit})")
        ax.legend(fontsize="small", loc="lower right")
        return self


def _axes(ax, **figure_kw):
    """`ax`, or those of a new figure, and their figure."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError('Displays need matplotlib: pip install "skvib[plot]".') from error
        _, ax = plt.subplots(layout="constrained", **figure_kw)
    return ax, ax.figure


def _name_of_score(search):
    """What the score of a search is called, with its unit."""
    is_log_likelihood = "log_loss" in repr(search.scorer_) or "log_likelihood" in repr(search.scorer_)
    if is_log_likelihood:
        return "log-likelihood (nats)"
    return search.scoring if isinstance(search.scoring, str) else "score"


def _scale_betas(ax, betas):
    if betas[0] > 0:
        ax.set_xscale("log")
    else:
        ax.set_xscale("symlog", linthresh=betas[betas > 0].min(initial=1.0))
