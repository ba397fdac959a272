"""
Which prior? Codes of two dimensions under three of them
========================================================

The rate of a row says how far its code is from the prior p(z). With the usual N(0, I)
a row between the classes is the cheapest of all. A prior that is learned with the
network knows where codes are, so a row that is like no digit is dear.
"""

# %%
# Three priors, and rows of no digit
# ----------------------------------
# A code of two dimensions, so that it can be drawn. The rows of no digit are halves of
# two digits of different classes: the upper half of one, the lower half of another.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skvib import VIBClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)
partner = np.random.default_rng(0).permutation(len(X_test))
differs = y_test != y_test[partner]
X_none = np.hstack([X_test[:, :32], X_test[partner, 32:]])[differs]

PRIORS = "normal", "mixture", "class"
models = {
    prior: VIBClassifier(
        latent_prior=prior,
        latent_dim=2,
        decoder_hidden_layer_sizes=(64,),
        beta=0.01,
        random_state=0,
    ).fit(X_train, y_train)
    for prior in PRIORS
}

is_none = np.repeat([0, 1], [len(X_test), len(X_none)])
print("prior     accuracy  log loss  rate (nats)  AUROC of the rate, rows of no digit")
for prior, model in models.items():
    accuracy = model.score(X_test, y_test)
    log_loss = -model.log_likelihood_samples(X_test, y_test).mean()
    rates = np.concatenate([model.rate_samples(X_test), model.rate_samples(X_none)])
    found = roc_auc_score(is_none, rates)
    print(
        f"{prior:9s} {accuracy:8.3f} {log_loss:9.3f} {model.rate_:12.2f} {found:10.2f}"
    )

# %%
# Where the codes lie
# -------------------
# Dots are digits, coloured by class, crosses are rows of no digit. Dashed ellipses are
# two standard deviations of the prior's components, the wider the line, the larger
# their weight.
figure, axes = plt.subplots(1, 3, figsize=(13, 4.5), layout="constrained")
for ax, (prior, model) in zip(axes, models.items(), strict=True):
    codes, of_none = model.transform(X_test), model.transform(X_none[:100])
    ax.scatter(*codes.T, c=y_test, cmap="tab10", s=8)
    ax.scatter(*of_none.T, c="black", marker="x", s=12, lw=0.8, label="no digit")
    components = model.prior_weights_, model.prior_means_, model.prior_scales_
    for weight, mean, scale in zip(*components, strict=True):
        ax.add_patch(
            Ellipse(mean, *(4 * scale), fill=False, ls="--", lw=0.5 + 3 * weight)
        )
    ax.set(title=f'latent_prior="{prior}"', xlabel="z, first dimension")
    ax.autoscale_view()
axes[0].set_ylabel("z, second dimension")
axes[0].legend(loc="lower right", fontsize="small")

# %%
# What they buy
# -------------
# Under N(0, I) all classes share one ellipse, and rows of no digit are nearer to its
# middle than digits are. Components of a mixture lie where codes are; some serve two
# classes. With ``"class"`` each class has its own, and a row pays only for what its
# code says beyond its class, so classes part at no cost.
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
shown = []
for model in models.values():
    shown += [model.rate_samples(X_test), model.rate_samples(X_none)]
positions = np.array([0, 1, 3, 4, 6, 7])
boxes = ax.boxplot(
    shown, positions=positions, showfliers=False, patch_artist=True, widths=0.7
)
for box, color in zip(boxes["boxes"], ["#56B4E9", "#E69F00"] * 3, strict=True):
    box.set_facecolor(color)
ax.set_xticks([0.5, 3.5, 6.5], [f'"{prior}"' for prior in PRIORS])
ax.set(ylim=(0.0, None), ylabel="rate of a row (nats)", xlabel="latent_prior")
ax.legend(boxes["boxes"][:2], ["digits", "no digit"], fontsize="small")
plt.show()
