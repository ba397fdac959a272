"""
How many nats do I want? Codes of a given rate
==============================================

Beta is a price, and what a price buys depends on the data. Two ways lead to a rate
that is said in nats: ``BetaPath.at_rate`` looks for it between the betas of a path,
and ``rate_function="square"`` makes every rate the optimum of some beta.
"""

# %%
# A path, and codes of 0.5, 1 and 2 nats
# --------------------------------------
# One training knows all betas. ``at_rate`` needs no further one: a few passes over the
# rows find the beta whose code has the rate asked for.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvib import (
    BetaPathDisplay,
    InformationPlaneDisplay,
    VIBClassifier,
    beta_path,
    mutual_information,
)

X, y = load_digits(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)
model = VIBClassifier(hidden_layer_sizes=(64, 64), random_state=0)
path = beta_path(model, X_train, y_train, X_val=X_val, y_val=y_val)
RATES = 0.5, 1.0, 2.0
print("asked  rate met    beta  of which about the label, at least")
for rate in RATES:
    code = path.at_rate(rate)
    about_y = mutual_information(code, X_val, y_val).y_lower
    print(f"{rate:5.1f} {code.rate_:9.3f} {code.beta:7.3f} {about_y:9.3f}")
    assert abs(code.rate_ - rate) < 0.05

# %%
# Where they lie
# --------------
# Diamonds are the codes of these rates, on the path and in the information plane.
# Ten digits are ln 10 = 2.3 nats: with less, one draw of a code cannot tell all of them
# apart.
BetaPathDisplay.from_path(path, rates=RATES).figure_.set_size_inches(7, 7)
display = InformationPlaneDisplay.from_path(path, rates=RATES, max_rows=700)
display.ax_.set_title("Digits: codes of 0.5, 1 and 2 nats")

# %%
# Where a price cannot choose: labels without noise
# -------------------------------------------------
# If y is a function of x, every nat about x up to H(Y) is one about y. So a price below
# 1 buys all of them, and a price above 1 none: no beta buys half of them (Kolchinsky et
# al. 2019). If beta times the *square* of the rate is paid, a nat costs 2 beta R, and R
# = 1 / (2 beta) is the best. Here eight classes are told by eight different rows, and
# the prior is a mixture of eight.
rows, labels, weights = np.eye(8), np.arange(8), np.full(8, 250)
classifier = VIBClassifier(
    latent_prior="mixture",
    latent_dim=8,
    hidden_layer_sizes=(),
    decoder_hidden_layer_sizes=(32,),
    n_train_draws=64,
    standardize=False,
    learning_rate_init=1e-2,
    batch_size=8,
    max_iter=1500,
    alpha=0.0,
    early_stopping=False,
    random_state=0,
)
asked = np.linspace(0.2, 2.0, 7)
betas = {"square": 1 / (2 * asked), "linear": np.array([0.1, 0.3, 0.6, 0.9, 1.1, 1.3])}
rates = {}
for function, grid in betas.items():
    classifier.set_params(rate_function=function)
    found = beta_path(
        classifier, rows, labels, betas=grid, method="exact", sample_weight=weights
    )
    rates[function] = found.betas, found.rate

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for ax, (function, (grid, met)) in zip(axes, rates.items(), strict=True):
    ax.plot(grid, met, "o", color="#0072B2", label="trained")
    ax.axhline(np.log(8), color="0.5", ls=":", label="H(Y) = ln 8")
    ax.set(xlabel="beta", title=f'rate_function="{function}"')
fine = np.linspace(0.24, 2.6, 200)
axes[0].plot(fine, np.minimum(1 / (2 * fine), np.log(8)), "k--", label="1 / (2 beta)")
axes[1].plot([0, 1, 1, 1.4], [np.log(8)] * 2 + [0] * 2, "k--", label="theory")
axes[0].set_ylabel("rate (nats)")
for ax in axes:
    ax.legend(fontsize="small")
off = np.abs(rates["square"][1] - 1 / (2 * rates["square"][0])).max()
print(f"With the square, rates are within {off:.3f} nats of 1 / (2 beta)")
assert off < 0.05
plt.show()
