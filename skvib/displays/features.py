"""Input features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.displays.style import axes_of
from skvib.information.by_feature import FeatureInformation, feature_information
from skvib.typing import MatrixLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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

    def __init__(self, information: FeatureInformation, *, max_features: int = 20) -> None:
        self.information, self.max_features = information, max_features

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike | None = None,
        *,
        max_features: int = 20,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
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

    def plot(self, *, ax: Axes | None = None, **bar_kw: Any) -> Self:
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
        self.ax_, self.figure_ = ax, _ = axes_of(ax)
        found = self.information
        shown = "x_kept" if found.y_lost is None else "y_lost"
        values, errors = getattr(found, shown), getattr(found, f"{shown}_se")
        order = np.argsort(-values, kind="stable")[: self.max_features][::-1]
        places = np.arange(len(order))
        label = "kept by the code" if found.y_lost is None else "lost about y without it"
        style = {"color": "#56B4E9", "edgecolor": "black", "linewidth": 0.5, "label": label} | bar_kw
        self.bars_ = ax.barh(places, values[order], xerr=errors[order], **style)
        self.line_ = None
        if found.y_lost is not None:
            style = {"ls": "", "marker": "D", "ms": 5, "color": "black", "label": "kept by the code"}
            bars = ax.errorbar(found.x_kept[order], places, xerr=found.x_kept_se[order], **style)
            self.line_ = bars.lines[0]
        ax.axvline(0.0, color="black", lw=0.8)
        ax.set_yticks(places, [found.names[k] for k in order])
        ax.set_xlabel(f"information ({found.unit})")
        ax.legend(fontsize="small", loc="lower right")
        return self
