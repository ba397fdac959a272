"""The information plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.displays.style import BLUE, GREEN, GREY, ORANGE, axes_of
from skvib.information.estimates import NATS_IN
from skvib.information.plane import InformationPlane, information_plane
from skvib.typing import MatrixLike
from skvib.wrapped import at_the_end_of, unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skvib.model_selection.path import BetaPath

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
        Another curve (I(X;Z), I(Z;Y)) to compare with, in the unit of the plane, as of `gaussian_limit` or
        `discrete_limit`.
    marks : InformationPlane, default=None
        Further codes to mark, such as those of given rates.

    Attributes
    ----------
    line_ : matplotlib.lines.Line2D
        The codes, I(X;Z) midway between its bounds.
    rate_line_ : matplotlib.lines.Line2D
        The same at their rates.
    frontier_ : matplotlib.collections.PolyCollection
        What is possible, I(Z;Y) <= min(I(X;Z), H(Y)).
    limit_line_, chosen_, marks_ : matplotlib.lines.Line2D or None
        The other curve, the mark of the chosen beta, and the further codes.
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

    marks: InformationPlane | None = None  # pickles of before know none

    def __init__(
        self,
        plane: InformationPlane,
        *,
        beta: float | None = None,
        limit: tuple[np.ndarray, np.ndarray] | None = None,
        marks: InformationPlane | None = None,
    ) -> None:
        self.plane, self.beta, self.limit, self.marks = plane, beta, limit, marks

    @classmethod
    def from_path(
        cls,
        path: BetaPath,
        X: MatrixLike | None = None,
        y: ArrayLike | None = None,
        *,
        beta: float | None = None,
        rates: Sequence[float] = (),
        limit: tuple[np.ndarray, np.ndarray] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Measure and draw the plane of a BetaPath.

        Parameters
        ----------
        path : BetaPath
            Its estimators are measured.
        X, y : array-like, default=None
            Rows to measure on; by default those that the path's `information` is of.
        beta : float, default=None
            The chosen beta; by default the "1se" choice, if the path has validation rows.
        rates : sequence of float, default=()
            Rates of training rows, in nats, whose codes are measured and marked, too (`BetaPath.at_rate`).
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
        plane, marks = information_plane(path, X, y, **options), None
        if len(rates):
            if X is None:
                X, y, options["sample_weight"] = path.evaluation_rows
            marks = information_plane([path.at_rate(rate) for rate in rates], X, y, **options)
        return cls(plane, beta=beta, limit=limit, marks=marks).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator | Sequence[BaseEstimator],
        X: MatrixLike,
        y: ArrayLike,
        *,
        beta: float | None = None,
        limit: tuple[np.ndarray, np.ndarray] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
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

    def plot(self, *, ax: Axes | None = None, **line_kw: Any) -> Self:
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
        self.ax_, self.figure_ = ax, _ = axes_of(ax)
        plane, unit = self.plane, self.plane.unit
        x, y = _middle(plane), plane.y_lower
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
        self.limit_line_ = self.chosen_ = self.marks_ = None
        if self.limit is not None:
            (self.limit_line_,) = ax.plot(*limit, ls="--", color="black", label="limit")
        if k is not None:
            style = {"ls": "", "marker": "*", "ms": 14, "mec": "black", "color": ORANGE}
            (self.chosen_,) = ax.plot(x[k], y[k], label=f"chosen: β = {plane.betas[k]:.2g}", **style)
        if self.marks is not None:
            at, style = self.marks, {"ls": "", "marker": "D", "ms": 7, "mec": "black", "color": GREEN}
            (self.marks_,) = ax.plot(_middle(at), at.y_lower, label="codes of given rates", **style)
        ends = {int(np.flatnonzero(x < x_max)[0]): "right", len(x) - 1: "left"}
        for k, side in ends.items():
            style = {"textcoords": "offset points", "ha": side, "fontsize": "small"}
            ax.annotate(f"β = {plane.betas[k]:.2g}", (x[k], y[k]), (0, -14), **style)
        top = max(0.0, *y, *limit[1]) * 1.2 if plane.entropy is None else max(*y, *limit[1], min(ceiling, x_max))
        ax.set(xlim=(0.0, x_max), ylim=(min(0.0, 1.1 * y.min()), 1.08 * top))
        ax.set(xlabel=f"I(X;Z), between its bounds ({unit})", ylabel=f"I(Z;Y), at least ({unit})")
        ax.legend(loc="lower right", fontsize="small")
        return self


def _middle(plane):
    """I(X;Z) midway between its bounds."""
    return 0.5 * (plane.x_lower + plane.x_upper)
