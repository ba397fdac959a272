"""
Which rows are unlike anything seen? Outliers by rate
=====================================================

A row that the code cannot describe cheaply is a surprise. ``rate_samples`` is what
each row costs, in nats, and ``score_samples``, its negative, passes through Pipelines
like that of scikit-learn's outlier detectors. A classifier knows more: the entropy of
its prediction, and which codes ordinary rows have. ``outlier_scores`` combines these
two.
"""

# %%
# Train on eight digits, meet what is none of them
# ------------------------------------------------
# Three kinds of outliers, and nothing is tuned on any: digits of unknown classes,
# images of pure noise, and images of which half the pixels are stuck at full
# brightness.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import VIBClassifier, outlier_scores

X, y = load_digits(return_X_y=True)
known = y < 8
X_train, X_known, y_train, _ = train_test_split(
    X[known], y[known], test_size=0.5, stratify=y[known], random_state=0
)
X_reference, X_known = X_known[::2], X_known[1::2]
rng = np.random.default_rng(0)
stuck = np.where(rng.random(X_known.shape) < 0.5, 16.0, X_known)
OUTLIERS = {
    "unknown digits": X[~known],
    "noise": rng.uniform(0, 16, size=(300, 64)),
    "stuck pixels": stuck,
}

model = make_pipeline(
    StandardScaler(), VIBClassifier(beta=0.01, max_iter=100, random_state=0)
).fit(X_train, y_train)
forest = IsolationForest(random_state=0).fit(X_train)


def entropies(rows):
    p = model.predict_proba(rows)
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)


SCORES = {
    "rate": lambda rows: -model.score_samples(rows),
    "entropy": entropies,
    "outlier_scores": lambda rows: outlier_scores(model, rows, X_reference),
    "IsolationForest": lambda rows: -forest.score_samples(rows),
}
print("Area under the ROC curve" + "".join(f"{kind:>18s}" for kind in OUTLIERS))
for name, score in SCORES.items():
    areas = []
    for rows in OUTLIERS.values():
        values = np.concatenate([score(X_known), score(rows)])
        areas.append(
            roc_auc_score(np.repeat([0, 1], [len(X_known), len(rows)]), values)
        )
    print(f"{name:24s}" + "".join(f"{area:18.3f}" for area in areas))

# %%
# Two signs
# ---------
# An unknown digit lies between the known ones, where the code is cheap and the
# prediction undecided. Rows far out of the range of the training set cost many nats,
# and may well be predicted with confidence. ``outlier_scores`` compares codes with
# those of ordinary rows instead of the prior, so a cheap code in a gap is strange, too.
figure, (plane, curves) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
shown = {"known digits": X_known, **OUTLIERS}
for (kind, rows), marker, color in zip(
    shown.items(), "osD^", ("0.7", "#0072B2", "#E69F00", "black"), strict=True
):
    style = {"s": 14, "marker": marker, "color": color, "label": kind, "alpha": 0.8}
    plane.scatter(-model.score_samples(rows), entropies(rows) + 1e-6, **style)
plane.set(
    xscale="log",
    yscale="log",
    xlabel="rate (nats)",
    ylabel="entropy of the prediction (nats)",
)
plane.legend(loc="lower left", fontsize="small")
ordinary = SCORES["outlier_scores"](X_known)
for (kind, rows), style in zip(OUTLIERS.items(), ("-", "--", ":"), strict=True):
    values = np.concatenate([ordinary, SCORES["outlier_scores"](rows)])
    labels = np.repeat([0, 1], [len(ordinary), len(rows)])
    RocCurveDisplay.from_predictions(
        labels, values, name=kind, ax=curves, curve_kwargs={"linestyle": style}
    )
curves.set_title("outlier_scores")

# %%
# The strangest of the known digits
# ---------------------------------
# Known classes have unusual members, too: the eight rows of the highest score, and
# what they were taken for.
strange = np.argsort(-ordinary)[:8]
p = model.predict_proba(X_known[strange])
figure, axes = plt.subplots(1, 8, figsize=(11, 1.9), layout="constrained")
for ax, row, share in zip(axes, strange, p, strict=True):
    ax.imshow(X_known[row].reshape(8, 8), cmap="gray_r")
    ax.set_title(
        f"{share.argmax()} ({100 * share.max():.0f} %)\n{ordinary[row]:.1f} nats",
        fontsize="small",
    )
    ax.set_axis_off()
plt.show()
