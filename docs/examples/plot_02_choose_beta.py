"""
Choose beta: how much information is worth its price?
=====================================================

``beta`` is the price of a nat. Too low, and the code keeps noise; too high, and it forgets the label. One training
shows all of it: ``beta_path`` fits a network that knows every beta, and ``BetaSearchCV`` chooses one by
cross-validation, in about the time of a few fits. Digits first, then a regression.
"""

# %%
# Digits: a path over beta, and what held-out rows say of it
# ----------------------------------------------------------
import time
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits, make_friedman1
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path

matplotlib.use("Agg")
import matplotlib.pyplot as plt

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
vib = VIBClassifier(latent_dim=8, hidden_layer_sizes=(128, 128), max_iter=100, random_state=0)

start = time.perf_counter()
path = beta_path(vib, X_train, y_train, X_val=X_test, y_val=y_test)
print(f"One training, {len(path.betas)} betas: {time.perf_counter() - start:.1f} s")
print(path.to_frame().to_string(index=False, float_format="%.3g"))

# %%
# Any beta in between needs no further training, and is a plain estimator.
start = time.perf_counter()
between = path.at_beta(0.02)
print(f"\n{between} after {1000 * (time.perf_counter() - start):.0f} ms, accuracy {between.score(X_test, y_test):.3f}")

# %%
# Choose by cross-validation, on the training rows alone
# ------------------------------------------------------
# The most compressed code whose log loss is within one standard error of the best.
searches = {}
for selection in ("best", "1se"):
    start = time.perf_counter()
    search = BetaSearchCV(make_pipeline(StandardScaler(), vib), selection=selection).fit(X_train, y_train)
    model = search.best_estimator_[-1]
    p = search.predict_proba(X_test)
    print(
        f"{selection:4s} beta = {model.beta:.1e}, rate {model.rate_:5.1f} nats, accuracy "
        f"{np.mean(search.predict(X_test) == y_test):.3f}, log loss {log_loss(y_test, p):.3f} "
        f"({time.perf_counter() - start:.1f} s for 65 fits and the refit)"
    )
    searches[selection] = search

# %%
# A regression: information that is noise
# ---------------------------------------
# Five of ten inputs matter, and the target is noisy. A low beta fits the noise, and the log-likelihood of held-out
# rows shows it long before the mean does.
X, y = make_friedman1(4000, noise=1.0, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
regressor = VIBRegressor(latent_dim=8, hidden_layer_sizes=(64, 64), max_iter=40, random_state=0)
regression = beta_path(regressor, X_train, y_train, X_val=X_test, y_val=y_test)
chosen = BetaSearchCV(regressor).fit(X_train, y_train)
mean, std = chosen.predict(X_test, return_std=True)
coverage = np.mean(np.abs(y_test - mean) < 1.645 * std)
r2 = chosen.best_estimator_.score(X_test, y_test)
print(f"\nRegression: beta = {chosen.best_params_['beta']:.2g}, R^2 {r2:.3f}")
print(f"90 % intervals hold {100 * coverage:.0f} % of the test rows")

# %%
# The figure
# ----------
figure, axes = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
PATHS = (
    ("digits", path, searches["best"], [s.best_estimator_[-1].beta for s in searches.values()]),
    ("friedman1", regression, chosen, [chosen.best_params_["beta"]]),
)
for row, (name, shown, search, betas) in zip(axes, PATHS, strict=True):
    plane, scores, latent = row
    plane.plot(shown.rate, shown.information, "o-", color="C0")
    bound = np.linspace(0, 1.05 * min(shown.rate.max(), 40), 100)
    ceiling = np.log(10) if name == "digits" else np.inf
    plane.fill_between(bound, np.minimum(bound, ceiling), 0, color="0.9", label="possible: I ≤ min(R, H(Y))")
    plane.set(xlim=(0, bound[-1]), ylim=(0, 1.15 * max(shown.information.max(), 0.1)))
    plane.set(xlabel="rate R (nats)", ylabel="information I(Z;Y), at least (nats)", title=f"{name}: information plane")
    plane.legend(loc="lower right")

    folds = [search.cv_results_[f"split{split}_test_score"] for split in range(5)]
    mean, error = np.mean(folds, axis=0), np.std(folds, axis=0, ddof=1) / np.sqrt(5)
    scores.errorbar(shown.betas, mean, error, fmt="s--", color="C1", capsize=3, label="5 folds, ± 1 standard error")
    scores.plot(shown.betas, shown.log_likelihoods, "o-", color="C0", label="held-out rows")
    low = max(shown.log_likelihoods.min(), shown.log_likelihoods.max() - 3)
    scores.set(xscale="log", xlabel="beta", ylabel="log-likelihood (nats)", title=f"{name}: what predicts best")
    scores.set_ylim(low - 0.2, shown.log_likelihoods.max() + 0.2)
    for beta, label in zip(betas, ("best", "one standard error"), strict=False):
        scores.axvline(beta, color="0.4", linestyle=":" if label == "best" else "-.", label=f"chosen: {label}")
    scores.legend(loc="lower left", fontsize="small")

    image = latent.imshow(
        np.sort(shown.latent_rates, axis=1)[:, ::-1].T, aspect="auto", cmap="viridis", vmin=0, vmax=3, origin="upper"
    )
    ticks = np.arange(0, len(shown.betas), 3)
    latent.set_xticks(ticks, [f"{beta:.0e}" for beta in shown.betas[ticks]])
    latent.set(xlabel="beta", ylabel="latent dimension, by rate", title=f"{name}: what each dimension keeps")
    figure.colorbar(image, ax=latent, label="rate (nats; 3 or more in yellow)")
figure.savefig(Path(__file__).with_suffix(".png") if "__file__" in globals() else "plot_02_choose_beta.png", dpi=120)
