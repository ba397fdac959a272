"""
First fit: what does a bottleneck keep of a digit?
==================================================

A ``VIBClassifier`` takes the place of ``MLPClassifier`` in a Pipeline inside a grid
search. The search chooses the price of information, ``beta``, and the size of the
code, ``latent_dim``. Then: how good are the predictions, how well do the codes serve
another model, and what does the code look like?
"""

# %%
# The data, and a search with a live progress bar
# -----------------------------------------------
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import (
    InformationPlaneDisplay,
    LatentDisplay,
    TrainingCurveDisplay,
    VIBClassifier,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)

BETAS = [1e-4, 1e-3, 1e-2, 1e-1]
LATENT_DIMS = [2, 8, 32]
print(
    f"Digits, {len(X_train)} rows: {len(BETAS) * len(LATENT_DIMS)} settings in 3 folds, then eight fits "
    "and a figure.\nHalf a minute on two cores.\n",
    flush=True,
)
vib = make_pipeline(StandardScaler(), VIBClassifier(max_iter=60, random_state=0))
search = GridSearchCV(
    vib,
    {"vibclassifier__beta": BETAS, "vibclassifier__latent_dim": LATENT_DIMS},
    scoring="neg_log_loss",
    cv=3,
    n_jobs=2,
)
search.set_callbacks(ProgressBar(max_propagation_depth=0)).fit(X_train, y_train)

# %%
# The grid: log loss in cross-validation
# --------------------------------------
losses = -search.cv_results_["mean_test_score"].reshape(len(BETAS), len(LATENT_DIMS))
print("\nLog loss in 3-fold cross-validation")
print("      beta" + "".join(f"   latent_dim={size:<3d}" for size in LATENT_DIMS))
for beta, row in zip(BETAS, losses, strict=True):
    print(f"{beta:10.0e}" + "".join(f"{loss:17.3f}" for loss in row))
best = search.best_estimator_[-1]
print(f"chosen: beta = {best.beta:g}, latent_dim = {best.latent_dim}")

# %%
# Predictions on the test set
# ---------------------------
print("\nFitting the two rivals ...", flush=True)
models = {
    "VIBClassifier": search,
    "MLPClassifier": make_pipeline(
        StandardScaler(), MLPClassifier(max_iter=500, random_state=0)
    ).fit(X_train, y_train),
    "LogisticRegression": make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000)
    ).fit(X_train, y_train),
}
print("\nTest set             accuracy   log loss")
for name, model in models.items():
    p = model.predict_proba(X_test)
    print(
        f"{name:20s}{accuracy_score(y_test, p.argmax(axis=1)):9.3f}{log_loss(y_test, p):11.3f}"
    )

# %%
# Codes for another model
# -----------------------
# Eight numbers a digit, for k-nearest neighbours: of the bottleneck, of PCA, and all
# 64 pixels.
print("\nFitting eight dimensions ...", flush=True)
compressed = make_pipeline(
    StandardScaler(), VIBClassifier(latent_dim=8, max_iter=60, random_state=0)
)
print("\n5-NN on                            accuracy")
for name, features in {
    "8 dimensions of VIBClassifier": compressed,
    "8 dimensions of PCA": make_pipeline(StandardScaler(), PCA(8)),
    "64 standardised pixels": StandardScaler(),
}.items():
    accuracy = (
        make_pipeline(features, KNeighborsClassifier())
        .fit(X_train, y_train)
        .score(X_test, y_test)
    )
    print(f"{name:34s}{accuracy:9.3f}")

# %%
# One figure
# ----------
# The loss is split in what it pays for errors and for information; dearer information
# is kept less; and with two dimensions the code can be seen.
print("\nFitting two dimensions, and four betas ...", flush=True)
flat = make_pipeline(
    StandardScaler(),
    VIBClassifier(beta=1e-2, latent_dim=2, max_iter=200, random_state=0),
)
flat.fit(X_train, y_train)
by_beta = [
    make_pipeline(
        StandardScaler(), VIBClassifier(beta=beta, max_iter=60, random_state=0)
    ).fit(X_train, y_train)
    for beta in BETAS
]

figure, (curve, plane, code) = plt.subplots(
    1, 3, figsize=(15, 4.6), layout="constrained"
)
TrainingCurveDisplay.from_estimator(search, ax=curve)
InformationPlaneDisplay.from_estimator(
    by_beta, X_test, y_test, beta=best.beta, ax=plane
)
LatentDisplay.from_estimator(flat, X_test, y_test, ax=code)
curve.set_title("Training of the chosen model")
plane.set_title("Information kept, 32 dimensions")
code.set_title("Two-dimensional code of the test set")

path = Path("plot_01_first_fit.png")
figure.savefig(path, dpi=120)
print(f"\nFigure: {path}")
