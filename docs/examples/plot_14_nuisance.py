"""
How do I keep a scanner, a sex or a domain out of the code?
===========================================================

Give it to ``fit`` as ``nuisance``, and price what the code tells of it by ``invariance``.
"""

# %%
# A scanner that goes with the label
# ----------------------------------
# Made rows: five columns tell the label, five others the scanner. In training nine
# patients of ten with the disease were seen by the second scanner, so a network learns
# its pattern, too. At the next hospital the scanner says nothing.
import matplotlib.pyplot as plt
import numpy as np

from skvib import VIBClassifier, nuisance_information

rng = np.random.default_rng(0)


def scans(n, agreement):
    y = rng.integers(0, 2, n)
    scanner = np.where(rng.random(n) < agreement, y, 1 - y)
    X = rng.normal(size=(n, 20))
    X[:, :5] += 0.6 * (2 * y - 1)[:, None]
    X[:, 15:] += (2 * scanner - 1)[:, None]
    return X, y, scanner


X, y, scanner = scans(2000, agreement=0.9)
X_test, y_test, other = scans(2000, agreement=0.5)
models = {
    "invariance=0": VIBClassifier(latent_dim=2, random_state=0).fit(X, y),
    "invariance=1": VIBClassifier(latent_dim=2, invariance=1.0, random_state=0).fit(
        X, y, nuisance=scanner
    ),
}
blind = VIBClassifier(latent_dim=2, random_state=0).fit(X[:, :15], y)
print(f"without the pattern: {blind.score(X_test[:, :15], y_test):.3f}")

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    codes = model.transform(X_test)
    told = nuisance_information(model, X_test, other)
    for label, marker in ((0, "o"), (1, "^")):
        for value, color in ((0, "tab:blue"), (1, "tab:orange")):
            rows = (y_test == label) & (other == value)
            ax.scatter(
                *codes[rows].T,
                s=10,
                marker=marker,
                color=color,
                alpha=0.5,
                label=f"label {label}, scanner {value}",
            )
    accuracy = model.score(X_test, y_test)
    ax.set_title(
        f"{name}: accuracy {accuracy:.3f}\n"
        f"the code tells {told.lower:.2f} to {told.upper:.2f} nats of the scanner"
    )
    ax.set(xlabel="first column of transform", ylabel="second column")
axes[0].legend(fontsize="small")

# %%
# How much invariance?
# --------------------
# In training the scanner tells the label, so up to a price of 1 the code keeps what tells
# the label, and drops the rest. Beyond it gives up the label, too.
INVARIANCES = 0.0, 0.1, 0.3, 1.0, 3.0, 10.0
accuracies, nats = [], []
for invariance in INVARIANCES:
    model = VIBClassifier(latent_dim=2, invariance=invariance, random_state=0)
    model.fit(X, y, nuisance=scanner if invariance else None)
    accuracies.append(model.score(X_test, y_test))
    nats.append(nuisance_information(model, X, scanner).upper)

figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
positions = np.arange(len(INVARIANCES))
ax.plot(positions, accuracies, "o-", label="accuracy at the next hospital")
ax.plot(positions, nats, "s--", label="I(Z;S) of training rows, at most (nats)")
ax.set_xticks(positions, [f"{value:g}" for value in INVARIANCES])
ax.set(xlabel="invariance")
ax.legend()
plt.show()
