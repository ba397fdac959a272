"""
Most of my rows have no label: what are the others good for?
============================================================

With ``missing_label=-1`` a ``VIBClassifier`` trains on rows with and without a label.
Those without ask for predictions that are sure of each row, and in the mean as frequent
as the labels that are known, so classes part where rows are few. How much they weigh is
told by the labelled rows: how well some of them predict the others.
"""

# %%
# Two moons and eight labels
# --------------------------
# Eight labels alone leave the border wide. With the other rows predictions are sure of
# more of them, and more are right; the bend takes more labels.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_moons
from sklearn.semi_supervised import LabelSpreading

from skvib import VIBClassifier

X, y = make_moons(600, noise=0.1, random_state=0)
some = np.full(len(y), -1)
for label in (0, 1):
    some[np.flatnonzero(y == label)[:4]] = label
known = some != -1
models = {
    "labelled rows alone": VIBClassifier(random_state=0).fit(X[known], some[known]),
    "missing_label=-1": VIBClassifier(missing_label=-1, random_state=0).fit(X, some),
}

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
grid = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1, 1.5, 90)), -1)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    p = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(grid.shape[:2])
    ax.contourf(grid[..., 0], grid[..., 1], p, levels=20, cmap="RdBu", alpha=0.7)
    ax.scatter(*X[~known].T, s=5, color="0.4")
    ax.scatter(*X[known].T, c=some[known], cmap="RdBu", s=70, edgecolor="black")
    accuracy = model.score(X[~known], y[~known])
    ax.set_title(f"{name}\naccuracy of the others {accuracy:.2f}")
figure.colorbar(
    plt.cm.ScalarMappable(cmap="RdBu"), ax=axes, label="probability of a class"
)

# %%
# Digits, by the number of labels
# -------------------------------
# A network that has few labels alone, one that sees the other rows, too, and
# scikit-learn's LabelSpreading. The rows to test on are others again, and the labelled
# ones are the first of each class, so by few writers.
X, y = load_digits(return_X_y=True)
X_train, y_train, X_test, y_test = X[:1200], y[:1200], X[1200:], y[1200:]
N_LABELS = 2, 5, 10, 20, 40
accuracies = {"labelled rows alone": [], "missing_label=-1": [], "LabelSpreading": []}
for n_labels in N_LABELS:
    some = np.full(len(y_train), -1)
    for digit in range(10):
        some[np.flatnonzero(y_train == digit)[:n_labels]] = digit
    known = some != -1
    fits = (
        VIBClassifier(random_state=0).fit(X_train[known], some[known]),
        VIBClassifier(missing_label=-1, random_state=0).fit(X_train, some),
        LabelSpreading(kernel="knn").fit(X_train, some),
    )
    for name, fit in zip(accuracies, fits, strict=True):
        accuracies[name].append(fit.score(X_test, y_test))

print("labels a class          " + "".join(f"{n:8d}" for n in N_LABELS))
for name, values in accuracies.items():
    print(f"{name:24s}" + "".join(f"{value:8.3f}" for value in values))
figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
for (name, values), style in zip(accuracies.items(), ("s:", "o-", "^--"), strict=True):
    ax.plot(N_LABELS, values, style, label=name)
ax.set(xscale="log", xlabel="labels a class", ylabel="accuracy of test rows")
ax.set_xticks(N_LABELS, N_LABELS)
ax.minorticks_off()
ax.legend()
plt.show()
