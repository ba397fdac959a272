"""
How sure is a prediction? Intervals in regression
=================================================

``VIBRegressor`` predicts a distribution: ``return_std=True`` gives its standard
deviation and ``quantiles=`` any quantiles, of the mixture over draws of the code.
With ``noise="heteroscedastic"`` the noise is a function of the code, so that
intervals are wide where the target is noisy.
"""

# %%
# A curve whose noise grows
# -------------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import train_test_split

from skvib import BetaSearchCV, VIBRegressor

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-3, 3, size=800))
y = np.sin(2 * x) + (0.05 + 0.15 * (x + 3) / 2) * rng.normal(size=len(x))
grid = np.linspace(-4.5, 4.5, 400)[:, None]
options = {
    "hidden_layer_sizes": (64, 64),
    "decoder_hidden_layer_sizes": (32,),
    "latent_dim": 4,
}
models = {
    noise: VIBRegressor(noise=noise, beta=0.02, random_state=0, **options).fit(
        x[:, None], y
    )
    for noise in ("homoscedastic", "heteroscedastic")
}

figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), sharey=True, layout="constrained")
for ax, (noise, model) in zip(axes, models.items(), strict=True):
    low, middle, high = model.predict(grid, quantiles=[0.05, 0.5, 0.95]).T
    ax.plot(x, y, ".", color="0.6", ms=3, label="training rows")
    ax.fill_between(
        grid[:, 0], low, high, color="#56B4E9", alpha=0.5, label="90 % interval"
    )
    ax.plot(grid[:, 0], middle, color="#0072B2", label="median")
    ax.axvspan(3, 4.5, color="0.93", zorder=0)
    ax.axvspan(-4.5, -3, color="0.93", zorder=0, label="never seen")
    ax.set(title=f'noise="{noise}"', xlabel="x")
    ax.legend(loc="upper left", fontsize="small")
axes[0].set_ylabel("y")

# %%
# Do the intervals hold what they promise?
# ----------------------------------------
# New rows of the same curve: coverage and mean width of 90 % intervals, and the
# pinball loss of the 95 % quantile.
x_new = rng.uniform(-3, 3, size=4000)
y_new = np.sin(2 * x_new) + (0.05 + 0.15 * (x_new + 3) / 2) * rng.normal(
    size=len(x_new)
)
print(
    "noise            coverage, x < 0   coverage, x > 0   mean width   pinball loss   log-likelihood"
)
for noise, model in models.items():
    low, high = model.predict(x_new[:, None], quantiles=[0.05, 0.95]).T
    inside = (low <= y_new) & (y_new <= high)
    print(
        f"{noise:16s}{inside[x_new < 0].mean():16.3f}{inside[x_new > 0].mean():18.3f}{np.mean(high - low):13.3f}"
        f"{mean_pinball_loss(y_new, high, alpha=0.95):15.4f}"
        f"{model.log_likelihood_samples(x_new[:, None], y_new).mean():17.3f}"
    )

# %%
# Where no row was ever seen (grey), neither model knows that it does not know: a
# predictive interval speaks of the noise and of what the code leaves open, not of
# inputs far away. The rate does better as a warning there.
for place in (0.0, 3.0, 4.5):
    print(
        f"x = {place:3.1f}: rate {models['heteroscedastic'].rate_samples([[place]])[0]:.1f} nats"
    )

# %%
# Diabetes: choose beta and the noise together
# --------------------------------------------
# Few rows and a noisy target. ``BetaSearchCV`` takes a grid over anything, and
# chooses by log-likelihood.
X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
model = VIBRegressor(
    hidden_layer_sizes=(32,), latent_dim=4, max_iter=100, random_state=0
)
search = BetaSearchCV(
    model,
    {"beta": np.geomspace(0.01, 0.6, 7), "noise": ["homoscedastic", "heteroscedastic"]},
)
search.fit(X_train, y_train)
low, high = search.predict(X_test, quantiles=[0.05, 0.95]).T
chosen = search.best_estimator_
print(
    f"chosen: beta = {chosen.beta:.2g}, noise = {chosen.noise}, R^2 {chosen.score(X_test, y_test):.3f}"
)
print(
    f"90 % intervals hold {100 * np.mean((low <= y_test) & (y_test <= high)):.0f} % of the test rows"
)

# %%
order = np.argsort(search.predict(X_test))
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.vlines(
    np.arange(len(order)),
    low[order],
    high[order],
    color="#56B4E9",
    label="90 % interval",
)
ax.plot(y_test[order], ".", color="black", ms=4, label="target")
ax.set(xlabel="test rows, by prediction", ylabel="disease progression")
ax.legend()
plt.show()
