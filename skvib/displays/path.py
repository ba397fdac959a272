"""Scores, rates and active dimensions against beta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.displays.style import BLUE, GREEN, GREY, ORANGE, axes_of, scale_betas
from skvib.information.estimates import best_and_compressed
from skvib.typing import MatrixLike
from skvib.wrapped import at_the_end_of, beta_grid, fit_at_betas, unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skvib.model_selection.path import BetaPath


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
    marks : tuple of ndarray, default=None
        Betas and rates of further codes, which are marked.

    Attributes
    ----------
    best_beta_, compressed_beta_ : float
        The beta of the best score, and the largest one within a standard error of it.
    line_, rate_line_, active_line_, marks_ : matplotlib.lines.Line2D
        Score, rate, active dimensions, and the further codes; None where they are not known.
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

    marks: tuple[np.ndarray, np.ndarray] | None = None  # pickles of before know none

    def __init__(
        self,
        betas: np.ndarray,
        score: np.ndarray,
        score_se: np.ndarray,
        rate: np.ndarray | None = None,
        n_active: np.ndarray | None = None,
        *,
        score_name: str = "score",
        marks: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.betas, self.score, self.score_se = betas, score, score_se
        self.rate, self.n_active, self.score_name, self.marks = rate, n_active, score_name, marks

    @classmethod
    def from_path(cls, path: BetaPath, *, rates: Sequence[float] = (), ax: Axes | None = None) -> Self:
        """Draw a BetaPath by its log-likelihoods.

        Parameters
        ----------
        path : BetaPath
            What is drawn.
        rates : sequence of float, default=()
            Rates in nats whose betas are marked, too (`BetaPath.at_rate`).
        ax : matplotlib.axes.Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        display : BetaPathDisplay
            Itself, drawn.
        """
        name = f"log-likelihood,\n{path.information_rows} rows (nats)"
        columns = path.log_likelihoods, path.log_likelihoods_se, path.rate, path.n_active
        models, marks = [unwrapped(path.at_rate(rate))[1] for rate in rates], None
        if models:
            marks = np.array([model.beta for model in models]), np.array([model.rate_ for model in models])
        return cls(path.betas, *columns, score_name=name, marks=marks).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike | None = None,
        y: ArrayLike | None = None,
        *,
        ax: Axes | None = None,
    ) -> Self:
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
    def best_beta_(self) -> float:
        """The beta of the best score."""
        return best_and_compressed(self.betas, self.score, self.score_se)[0]

    @property
    def compressed_beta_(self) -> float:
        """The largest beta whose score is within a standard error of the best."""
        return best_and_compressed(self.betas, self.score, self.score_se)[1]

    def plot(self, *, ax: Axes | None = None, **line_kw: Any) -> Self:
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
        self.ax_, self.figure_ = axes_of(ax, figsize=(6.4, 3.6 if is_alone else 6.4))
        self.ax_.set_axis_off()
        frames = (0.0, 0.62, 1.0, 0.38), (0.0, 0.31, 1.0, 0.27), (0.0, 0.0, 1.0, 0.27)
        frames = ((0.0, 0.0, 1.0, 1.0),) if is_alone else frames
        self.axes_ = np.array([self.ax_.inset_axes(frame) for frame in frames])
        score, style = self.axes_[0], {"marker": "o", "ms": 4} | line_kw
        bars = score.errorbar(self.betas, self.score, self.score_se, color=BLUE, capsize=2, **style)
        self.line_, self.rate_line_, self.active_line_, self.marks_ = bars.lines[0], None, None, None
        best = np.nanargmax(self.score)
        span = max(10 * self.score_se[best], 0.6 * np.ptp(self.score[np.isfinite(self.score)]), 1e-3)
        band = score.axhspan(self.score[best] - self.score_se[best], self.score[best], color="0.88")
        score.set_ylim(self.score[best] - span, self.score[best] + 0.15 * span)
        score.set_ylabel(self.score_name)
        if not is_alone:
            self._plot_kept(style, *self.axes_[1:])
        self.axes_[-1].set_xlabel("beta, price of a nat")
        for panel in self.axes_:
            scale_betas(panel, self.betas)
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

    def _plot_kept(self, style, rate, active):
        (self.rate_line_,) = rate.plot(self.betas, self.rate, color=GREEN, **style | {"marker": "s"})
        rate.set(yscale="log", ylabel="rate (nats)")
        if self.marks is not None:
            betas, rates = self.marks
            label = "\n".join(f"{nats:.2g} nats: β = {beta:.2g}" for beta, nats in zip(betas, rates, strict=True))
            mark = {"ls": "", "marker": "D", "ms": 7, "mec": "black", "color": GREEN, "label": label}
            (self.marks_,) = rate.plot(betas, rates, **mark)
            rate.legend(loc="lower left", fontsize="small")
        (self.active_line_,) = active.plot(
            self.betas, self.n_active, color="black", drawstyle="steps-mid", **style | {"marker": "."}
        )
        active.set(ylabel="active\ndimensions")
        active.set_ylim(bottom=0)


def _name_of_score(search):
    """What the score of a search is called, with its unit."""
    is_log_likelihood = "log_loss" in repr(search.scorer_) or "log_likelihood" in repr(search.scorer_)
    if is_log_likelihood:
        return "log-likelihood (nats)"
    return search.scoring if isinstance(search.scoring, str) else "score"
