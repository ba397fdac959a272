"""The course of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skvib.displays.style import BLUE, GREEN, GREY, ORANGE, axes_of
from skvib.wrapped import unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        The distortion, and what the rate costs: beta times the rate, unless the estimator has another price; with a
        nuisance, what it costs is added.
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

    def __init__(self, history: dict[str, np.ndarray], beta: float) -> None:
        self.history, self.beta = history, beta

    @classmethod
    def from_estimator(cls, estimator: BaseEstimator, *, ax: Axes | None = None) -> Self:
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
    def best_epoch_(self) -> int | None:
        """Epoch of the lowest loss of validation rows, from 1; None without them."""
        losses = self._validation_losses()
        return None if losses is None else int(np.nanargmin(losses)) + 1

    def _validation_losses(self):
        scores = self.history.get("validation_log_likelihood")
        if scores is None or len(scores) == 0:
            return None
        prices = self._costs()
        scores = np.pad(scores, (0, len(prices) - len(scores)), constant_values=np.nan)  # partial_fit has none
        return prices - self._share_of_distortion() * scores

    def _costs(self):
        """What was paid for the rate, and for a nuisance, in each epoch, nats."""
        return self.history["loss"] - self._share_of_distortion() * self.history["distortion"]

    def _share_of_distortion(self):
        """What of the distortion is in the loss."""
        return 1.0 - self.beta if "residual_rate" in self.history else 1.0

    def plot(self, *, ax: Axes | None = None, **line_kw: Any) -> Self:
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
        self.ax_, self.figure_ = ax, _ = axes_of(ax)
        epochs = np.arange(1, len(self.history["loss"]) + 1)

        def draw(values, label, **style):
            return ax.plot(epochs, values, label=label, **style | line_kw)[0]

        cost, distortion = self._costs(), self._share_of_distortion() * self.history["distortion"]
        is_residual = "residual_rate" in self.history
        paid, counted = ("residual rate", "(1 - β) · distortion") if is_residual else ("rate", "distortion")
        others = " and of the nuisance" if "nuisance_information" in self.history else ""
        self.line_ = draw(self.history["loss"], "loss", color="black", lw=2)
        self.distortion_line_ = draw(distortion, counted, color=BLUE, ls="--")
        self.rate_line_ = draw(cost, f"price of the {paid}{others}, β = {self.beta:.2g}", color=ORANGE, ls=":", lw=2)
        self.validation_line_ = None
        shown = [self.history["loss"], distortion, cost]
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
