"""
Choose beta: how much information is worth its price?
=====================================================

``beta`` is the price of a nat. Too low, and the code keeps noise; too high, and it
forgets the label. One training shows all of it: ``beta_path`` fits a network that
knows every beta, and ``BetaSearchCV`` chooses one by cross-validation, all folds in
one training. Digits first, then a regression.
"""

# %%
# Digits: a path over beta, and what held-out rows say of it
# ----------------------------------------------------------
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_friedman1
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import (
    BetaPathDisplay,
    BetaSearchCV,
    InformationPlaneDisplay,
    VIBClassifier,
    VIBRegressor,
    beta_path,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
vib = VIBClassifier(
    latent_dim=8, hidden_layer_sizes=(128, 128), max_iter=100, random_state=0
)

start = time.perf_counter()
path = beta_path(vib, X_train, y_train, X_val=X_test, y_val=y_test)
print(f"One training, {len(path.betas)} betas: {time.perf_counter() - start:.1f} s")
print(path.to_frame().to_string(index=False, float_format="%.3g"))

# %%
# Any beta in between needs no further training, and is a plain estimator.
start = time.perf_counter()
between = path.at_beta(0.02)
print(
    f"{between} after {1000 * (time.perf_counter() - start):.0f} ms, accuracy {between.score(X_test, y_test):.3f}"
)

# %%
# Score, rate and active dimensions at every beta. The band is one standard error
# below the best score: the largest beta that reaches it gives the most compressed
# code that predicts as well.
BetaPathDisplay.from_path(path)

# %%
# The same path in the information plane
# --------------------------------------
# Each code says I(X;Z) of the image, and of the label at least I(Z;Y). Nothing can
# lie above the grey line.
InformationPlaneDisplay.from_path(path)

# %%
# Choose by cross-validation, on the training rows alone
# ------------------------------------------------------
# The rows that chose beta cannot judge the choice. ``BetaSearchCV`` chooses within
# the training rows; the test rows then say what the choice is worth.
for selection in ("best", "1se"):
    start = time.perf_counter()
    search = BetaSearchCV(
        make_pipeline(StandardScaler(), vib), selection=selection
    ).fit(X_train, y_train)
    model = search.best_estimator_[-1]
    p = search.predict_proba(X_test)
    print(
        f"{selection:4s} beta = {model.beta:.1e}, rate {model.rate_:5.1f} nats, accuracy "
        f"{np.mean(search.predict(X_test) == y_test):.3f}, log loss {log_loss(y_test, p):.3f} "
        f"({time.perf_counter() - start:.1f} s for 65 fits and the refit)"
    )

# %%
# A regression: how much does beta matter?
# ----------------------------------------
# Five of ten inputs matter, and the target is noisy.
X, y = make_friedman1(4000, noise=1.0, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
regressor = VIBRegressor(
    latent_dim=8, hidden_layer_sizes=(64, 64), max_iter=40, random_state=0
)
chosen = BetaSearchCV(regressor).fit(X_train, y_train)
mean, std = chosen.predict(X_test, return_std=True)
print(
    f"beta = {chosen.best_params_['beta']:.2g}, R^2 {chosen.best_estimator_.score(X_test, y_test):.3f}"
)
print(
    f"90 % intervals hold {100 * np.mean(np.abs(y_test - mean) < 1.645 * std):.0f} % of the test rows"
)

# %%
# Early stopping keeps a cheap code from learning the noise by heart, so the curve is
# flat for small betas; it falls where signal becomes too dear. A wrong beta costs much
# on one side alone, and the flat part is where the most compressed code is the one to
# take.
path = beta_path(regressor, X_train, y_train, X_val=X_test, y_val=y_test)
likelihoods = path.log_likelihoods
gain, loss = likelihoods.max() - likelihoods[[0, -1]]
print(
    f"Held-out log-likelihood of the best beta: {gain:.3f} nats above beta = {path.betas[0]:.0e}, "
    f"{loss:.3f} above beta = {path.betas[-1]:.0f}"
)
assert gain < loss / 5
BetaPathDisplay.from_path(path)
plt.show()
