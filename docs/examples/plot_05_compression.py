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
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
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
# Neighbours and forests do as well on a few dimensions as on all pixels, or better. A
# single tree, which cuts along one axis at a time, does better on PCA or LDA: the
# prior of the code is round, so its axes mean nothing by themselves.
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
