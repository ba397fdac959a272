"""Codes, and the rates of their dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from skvib.containers import targets_array
from skvib.displays.style import CLASS_STYLES, ORANGE, axes_of
from skvib.information.by_dimension import ACTIVE_NATS, LatentInformation, latent_information
from skvib.information.estimates import NATS_IN
from skvib.typing import MatrixLike, Unit
from skvib.wrapped import unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_ELLIPSES = 100
TWIN = 0.97  # dimensions so correlated draw a line


class LatentDisplay:
    """Two dimensions of the code of each row, with ellipses of its posterior.

    Make one with `from_estimator`.

    Parameters
    ----------
    mu, sigma : ndarray of shape (n_samples, latent_dim)
        Mean and standard deviation of the code of each row.
    y : ndarray of shape (n_samples,), default=None
        Labels or numbers to colour by.
    rates : ndarray of shape (latent_dim,), default=None
        The rate of each dimension, nats, by which two are chosen; by default their ratio of signal to noise.
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

    rates: np.ndarray | None = None  # pickles of before know none

    def __init__(
        self,
        mu: np.ndarray,
        sigma: np.ndarray,
        y: np.ndarray | None = None,
        *,
        rates: np.ndarray | None = None,
        dimensions: tuple[int, ...] | None = None,
    ) -> None:
        self.mu, self.sigma, self.y, self.rates, self.dimensions = mu, sigma, y, rates, dimensions

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike | None = None,
        *,
        dimensions: tuple[int, ...] | None = None,
        ax: Axes | None = None,
        **scatter_kw: Any,
    ) -> Self:
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
        X = prepare(X)
        mu, sigma = vib.encode(X)
        if y is not None:
            y = column_or_1d(targets_array(y))
            check_consistent_length(mu, y)
        latent_dim = mu.shape[1]
        if dimensions is not None and (len(dimensions) != 2 or not all(0 <= k < latent_dim for k in dimensions)):
            raise ValueError(f"dimensions must be two of {latent_dim} latent dimensions; got {dimensions}.")
        rates = vib.latent_rate_samples(X).mean(axis=0)
        return cls(mu, sigma, y, rates=rates, dimensions=dimensions).plot(ax=ax, **scatter_kw)

    @property
    def dimensions_(self) -> tuple[int, ...]:
        """The two dimensions; one alone is drawn against zero."""
        if self.dimensions is not None:
            return tuple(self.dimensions)
        rates = self.rates
        if rates is None:
            rates = self.mu.var(axis=0) / np.square(self.sigma).mean(axis=0)
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

    def plot(self, *, ax: Axes | None = None, **scatter_kw: Any) -> Self:
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
        self.ax_, self.figure_ = ax, _ = axes_of(ax)
        from matplotlib.collections import EllipseCollection

        names = [f"z[{k}]" for k in self.dimensions_]
        centers, widths = self.mu[:, self.dimensions_], self.sigma[:, self.dimensions_]
        if len(names) == 1:
            centers, widths = (np.column_stack([part, np.zeros(len(part))]) for part in (centers, widths))
            names.append("")
        style = {"s": 14, "linewidths": 0.3, "edgecolors": "white", "zorder": 2} | scatter_kw
        classes, codes = (np.zeros(0), None) if self.y is None else np.unique(self.y, return_inverse=True)
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

    def __init__(self, rates: np.ndarray, *, information: LatentInformation | None = None, unit: Unit = "nats") -> None:
        self.rates, self.information, self.unit = rates, information, unit

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike | None = None,
        y: ArrayLike | None = None,
        *,
        unit: Unit = "nats",
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
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

    def plot(self, *, ax: Axes | None = None, **bar_kw: Any) -> Self:
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
        self.ax_, self.figure_ = ax, _ = axes_of(ax)
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
