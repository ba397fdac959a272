"""The one picture: log loss against fit time of the confirming sets, a dot a method.

``python -m benchmarks.picture`` draws it from results/tabular.json; README and the site open with it.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.claim import stored_result

FILE = Path(__file__).parents[1] / "docs" / "_static" / "log_loss_against_time.svg"
OURS, OTHERS = "#0b6e4f", "#6b7280"
ON_THE_LEFT = "HistGradientBoosting", "VIBClassifier, n_bins=16", "RealMLP, cross-entropy"  # of its dot a name has room


def drawn(rows):
    """A figure of the methods' mean log loss and of how long they take beside VIBClassifier."""
    figure, axes = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    for row in rows:
        method, place = row["method"], (row["time_ratio"], row["log_loss"])
        colour, weight = (OURS, "bold") if "VIB" in method else (OTHERS, "normal")
        side, align = (-7, "right") if method in ON_THE_LEFT else (7, "left")
        axes.scatter(*place, color=colour, s=36, zorder=3)
        text = {"textcoords": "offset points", "ha": align, "va": "center", "color": colour, "weight": weight}
        axes.annotate(method, place, (side, 0), **text)
    axes.set(xscale="log", xlabel="time of a fit, VIBClassifier = 1", ylabel="log loss of test rows, nats")
    axes.set_title("Means of six tables: lower is better, left is faster", loc="left", fontsize=10)
    axes.set_xlim(right=400)
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def rows():
    found = stored_result("tabular")["rows"]
    found = [row for row in found if row["kind"] == "overall" and row["group"] == "confirming"]
    return [row for row in found if row["method"] != "RealMLP"]  # its labels are smoothed, for accuracy


if __name__ == "__main__":
    with mpl.rc_context({"backend": "svg", "svg.hashsalt": "skvib", "svg.fonttype": "none", "font.size": 9}):
        drawn(rows()).savefig(FILE, metadata={"Date": None})
