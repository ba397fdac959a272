"""Colours, markers and axes of all displays.

Series differ in line and marker besides colour, and colours (Okabe and Ito 2008) in lightness, so that figures read in
grey. matplotlib is imported only to draw; with a given `ax`, pyplot is not.
"""

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "0.45"
CLASS_STYLES = (
    *(("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#56B4E9", "v")),
    *(("#D55E00", "P"), ("#000000", "*"), ("#F0E442", "X"), ("#882255", "<"), ("#999999", ">")),
)


def axes_of(ax, **figure_kw):
    """`ax`, or those of a new figure, and their figure."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError('Displays need matplotlib: pip install "skvib[plot]".') from error
        _, ax = plt.subplots(layout="constrained", **figure_kw)
    return ax, ax.figure


def scale_betas(ax, betas):
    if betas[0] > 0:
        ax.set_xscale("log")
    else:
        ax.set_xscale("symlog", linthresh=betas[betas > 0].min(initial=1.0))
