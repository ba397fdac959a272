"""
Is the code as good as theory allows? The information plane against the Gaussian limit
=======================================================================================

Where X and Y are jointly Gaussian, the best possible trade between what a code keeps
of X and what it says of Y is known in closed form (Chechik et al. 2005). A linear
``VIBRegressor`` should lie on that curve, and one training should trace it.
"""

# %%
# Two signals in ten inputs
# -------------------------
# The target has two parts, one easy to see in X (squared correlation .9) and one
# harder (.5). In the best code a signal is kept only while its squared correlation
# exceeds beta: the second goes first, at beta = .5.
import matplotlib.pyplot as plt
import numpy as np

from skvib import (
    InformationPlaneDisplay,
    VIBRegressor,
    beta_path,
    gaussian_limit,
    information_plane,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(20_000, 10))
correlations = np.array([0.9, 0.5])
y = np.sqrt(correlations) * X[:, :2] + np.sqrt(1 - correlations) * rng.normal(
    size=(len(X), 2)
)
X_train, X_val, y_train, y_val = X[:10_000], X[10_000:], y[:10_000], y[10_000:]

# %%
# A path over beta, measured on held-out rows
# -------------------------------------------
# ``method="exact"`` trains a network for each beta, all as one stack.
betas = [0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8]
model = VIBRegressor(hidden_layer_sizes=(), latent_dim=4, max_iter=60, random_state=0)
path = beta_path(
    model, X_train, y_train, betas=betas, X_val=X_val, y_val=y_val, method="exact"
)
plane = information_plane(path, max_rows=3000)
i_xz, i_zy = gaussian_limit(X_val, y_val, betas)

print("  beta    rate  I(X;Z) limit   I(Z;Y)  ± s.e.   limit   active")
for k, beta in enumerate(betas):
    print(
        f"{beta:6.2f} {plane.rate[k]:7.3f} {i_xz[k]:13.3f} {plane.y_lower[k]:8.3f} {plane.y_lower_se[k]:7.3f}"
        f" {i_zy[k]:7.3f} {path.n_active[k]:8d}"
    )

# %%
# A trained code keeps what the best one keeps, and lets go of the second signal above
# beta = .5, as the theory says.
off = plane.rate - i_xz
print(f"Rates are within {np.abs(off).max():.2f} nats of the best code's")
assert np.abs(off).max() < 0.15
assert path.n_active.tolist() == [2, 2, 2, 2, 2, 2, 1, 1]

# %%
# How near to the curve?
# ----------------------
# The dashed line is the limit for every beta.
fine = np.geomspace(0.015, 0.95, 200)
limit = gaussian_limit(X_val, y_val, fine)
middle = (plane.x_lower + plane.x_upper) / 2
below = np.interp(middle, limit[0][::-1], limit[1][::-1]) - plane.y_lower
print(f"Largest distance of a code from the curve: {np.abs(below).max():.3f} nats")
assert np.abs(below).max() < 0.06
display = InformationPlaneDisplay(plane, limit=limit).plot()
display.ax_.set_title("One training stack, eight betas, and the limit")
plt.show()
