"""
Can eight numbers replace 64 pixels? Codes for k-NN and trees
=============================================================

``transform`` gives the mean code of each row: a few features that keep what predicts
the label. Nearest neighbours and trees then work on them, in a Pipeline, as they
would on PCA. How many dimensions do they need?
"""

# %%
# A fair contest
# --------------
# Digits, three ways to compress, three models behind. Each compressor sees the
# training labels if it can.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skvib import LatentDisplay, VIBClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)

SIZES = [1, 2, 4, 8, 16]
COMPRESSORS = {
    "VIB": lambda size: VIBClassifier(
        latent_dim=size, beta=0.01, max_iter=100, random_state=0
    ),
    "PCA": lambda size: PCA(size, random_state=0),
    "LDA": lambda size: LinearDiscriminantAnalysis(n_components=min(size, 9)),
}
MODELS = {
    "5 nearest neighbours": KNeighborsClassifier(),
    "random forest": RandomForestClassifier(random_state=0),
    "one decision tree": DecisionTreeClassifier(random_state=0),
}
scores = {}
for compressor, make in COMPRESSORS.items():
    for size in SIZES:
        features = make_pipeline(StandardScaler(), make(size))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Variables are collinear")
            codes = (
                features.fit(X_train, y_train).transform(X_train),
                features.transform(X_test),
            )
        for name, model in MODELS.items():
            scores[compressor, name, size] = model.fit(codes[0], y_train).score(
                codes[1], y_test
            )

for name, model in MODELS.items():
    raw = (
        make_pipeline(StandardScaler(), model)
        .fit(X_train, y_train)
        .score(X_test, y_test)
    )
    scores["pixels", name, 64] = raw
    print(
        f"\n{name}, accuracy{'':12s}"
        + "".join(f"{size:8d}" for size in SIZES)
        + "   dimensions"
    )
    for compressor in COMPRESSORS:
        print(
            f"{compressor:32s}"
            + "".join(f"{scores[compressor, name, size]:8.3f}" for size in SIZES)
        )
    print(f"{'64 pixels':32s}{raw:8.3f}")

# %%
# Accuracy by size
# ----------------
# On eight dimensions of the code all three models do better than on as many of PCA or
# LDA, and better than on all pixels. The single tree gains most: the code has done what
# it cannot.
for name in MODELS:
    rivals = [scores[other, name, 8] for other in ("PCA", "LDA")]
    assert scores["VIB", name, 8] > max(*rivals, scores["pixels", name, 64])
figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), sharey=True, layout="constrained")
for ax, name in zip(axes, MODELS, strict=True):
    for compressor, style in zip(COMPRESSORS, ("o-", "s--", "D:"), strict=True):
        ax.plot(
            SIZES,
            [scores[compressor, name, size] for size in SIZES],
            style,
            label=compressor,
        )
    ax.axhline(scores["pixels", name, 64], color="0.4", lw=1, label="64 pixels")
    ax.set(
        xscale="log", xticks=SIZES, xticklabels=SIZES, xlabel="dimensions", title=name
    )
    ax.legend()
axes[0].set_ylabel("test accuracy")

# %%
# Probabilities of a model behind
# -------------------------------
# Accuracy is one thing. Codes of training rows know their labels a little too well, and a
# flexible model behind believes them: its probabilities get worse than those on the raw
# columns. Two ways are honest: *draws* of the code, in training and prediction, or a
# model that learns from codes of *held-out* rows, one for each fold, and their mean.
X_rows, y_rows = load_breast_cancer(return_X_y=True)
fit_rows, test_rows, fit_labels, test_labels = train_test_split(
    X_rows, y_rows, test_size=0.5, stratify=y_rows, random_state=0
)
vib = VIBClassifier(latent_dim=8, beta=0.01, random_state=0).fit(fit_rows, fit_labels)


def forest():
    return RandomForestClassifier(random_state=0)


p = {"raw columns": forest().fit(fit_rows, fit_labels).predict_proba(test_rows)}
p["codes of its own training rows"] = (
    forest()
    .fit(vib.transform(fit_rows), fit_labels)
    .predict_proba(vib.transform(test_rows))
)
draws = vib.sample_latent(fit_rows, n_samples=5)
on_draws = forest().fit(np.concatenate(draws), np.tile(fit_labels, len(draws)))
p["draws of the code"] = np.mean(
    [on_draws.predict_proba(z) for z in vib.sample_latent(test_rows, n_samples=16)],
    axis=0,
)
by_fold = []
for train, rest in StratifiedKFold(5).split(fit_rows, fit_labels):
    part = clone(vib).fit(fit_rows[train], fit_labels[train])
    behind = forest().fit(part.transform(fit_rows[rest]), fit_labels[rest])
    by_fold.append(behind.predict_proba(part.transform(test_rows)))
p["codes of held-out folds"] = np.mean(by_fold, axis=0)
p["VIBClassifier itself"] = vib.predict_proba(test_rows)
losses = {name: log_loss(test_labels, part) for name, part in p.items()}
print("Breast cancer, log loss of a forest on")
for name, loss in losses.items():
    print(f"{name:32s}{loss:8.3f}")
honest = losses["draws of the code"], losses["codes of held-out folds"]
assert max(honest) < losses["raw columns"] < losses["codes of its own training rows"]

# %%
# How many bits are that?
# -----------------------
# Not only is the number of features small: each carries few bits, which is what
# ``beta`` pays for.
model = VIBClassifier(latent_dim=8, beta=0.1, max_iter=100, random_state=0).fit(
    X_train, y_train
)
print(
    f"{model.n_active_} active dimensions, {model.rate_ / np.log(2):.1f} bits in all; log2(10) = {np.log2(10):.1f}"
)

# %%
# Two of the dimensions, with the standard deviation that the code leaves open.
LatentDisplay.from_estimator(model, X_test, y_test)
plt.show()
