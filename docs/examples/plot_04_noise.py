"""
What does a bottleneck buy when labels or inputs are noisy?
===========================================================

A network that is free to remember every row remembers wrong labels, too. A price on
information makes that expensive: remembering a single row costs about the logarithm
of the number of rows, in nats, and buys one label. What is gained is calibration: the
network stops being sure of what is wrong.
"""

# %%
# Digits with wrong labels
# ------------------------
# Up to 40 % of the training labels are replaced by random ones. Validation rows,
# which choose beta, are as noisy as the training rows; only the test rows are clean.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import VIBClassifier, beta_path

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)
X_train, X_val, y_train, y_val = train_test_split(
    X_train, y_train, test_size=0.3, stratify=y_train, random_state=0
)
vib = VIBClassifier(hidden_layer_sizes=(128, 128), max_iter=60, random_state=0)
mlp = make_pipeline(
    StandardScaler(), MLPClassifier((128, 128), max_iter=300, random_state=0)
)
rng = np.random.default_rng(0)


def with_noise(labels, share):
    """Labels of which this share is drawn anew."""
    return np.where(
        rng.random(len(labels)) < share, rng.integers(10, size=len(labels)), labels
    )


def test_losses(path, X):
    """Log loss on the clean labels of the test rows at every beta of a path."""
    return np.array(
        [log_loss(y_test, path.at_beta(beta).predict_proba(X)) for beta in path.betas]
    )


SHARES = [0.0, 0.2, 0.4]
label_paths = {}
print("accuracy, log loss on clean test labels")
print("wrong labels   MLPClassifier    smallest beta    chosen beta")
for share in SHARES:
    noisy = [with_noise(labels, share) for labels in (y_train, y_val)]
    path = label_paths[share] = beta_path(
        vib, X_train, noisy[0], X_val=X_val, y_val=noisy[1]
    )
    models = (
        mlp.fit(X_train, noisy[0]),
        path.at_beta(path.betas[0]),
        path.at_beta(path.choose()),
    )
    cells = [
        f"{m.score(X_test, y_test):.3f}, {log_loss(y_test, m.predict_proba(X_test)):.3f}"
        for m in models
    ]
    print(
        f"{100 * share:10.0f} %   "
        + "     ".join(cells)
        + f"  (beta {models[-1].beta:.2g})"
    )
    worse, better = (
        log_loss(y_test, m.predict_proba(X_test)) for m in (models[0], models[-1])
    )
    print(f"{'':15s}chosen beta against MLPClassifier: {better - worse:+.3f} nats")
    assert better < worse

# %%
# Digits with noisy pixels
# ------------------------
# Gaussian noise on all pixels, at training and test alike; pixels run from 0 to 16.
SCALES = [0.0, 4.0, 8.0]
pixel_paths = {}
for scale in SCALES:
    spoilt = [
        part + scale * rng.normal(size=part.shape) for part in (X_train, X_val, X_test)
    ]
    path = beta_path(vib, spoilt[0], y_train, X_val=spoilt[1], y_val=y_val)
    pixel_paths[scale] = path, spoilt[2]
    chosen = path.at_beta(path.choose())
    print(
        f"noise {scale:.0f}: beta {chosen.beta:.2g}, rate {chosen.rate_:.1f} nats, test accuracy "
        f"{chosen.score(spoilt[2], y_test):.3f}"
    )

# %%
# The price that noise asks for
# -----------------------------
# Each curve is one training. Circles mark the beta that the validation rows choose. It
# is the larger, the noisier the pixels. The curves of wrong labels are nearly flat up to
# beta = .02, and the choice says little: early stopping ends the training before they are
# remembered.
of_pixels = [path.choose() for path, _ in pixel_paths.values()]
of_labels = [path.choose() for path in label_paths.values()]
print(
    "chosen betas, noisier from left to right: pixels",
    *(f"{beta:.2g}" for beta in of_pixels),
    "| labels",
    *(f"{beta:.2g}" for beta in of_labels),
)
assert of_pixels == sorted(of_pixels)
assert of_pixels[-1] > 10 * of_pixels[0]
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
shown = [
    [
        (f"{100 * share:.0f} % wrong labels", label_paths[share], X_test)
        for share in SHARES
    ],
    [(f"pixel noise {scale:.0f}", *pixel_paths[scale]) for scale in SCALES],
]
for ax, curves in zip(axes, shown, strict=True):
    for (label, path, rows), style in zip(curves, ("-", "--", ":"), strict=True):
        losses = test_losses(path, rows)
        (line,) = ax.plot(path.betas, losses, style, label=label)
        k = np.flatnonzero(path.betas == path.choose())[0]
        ax.plot(path.betas[k], losses[k], "o", color=line.get_color())
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="beta, price of a nat",
        ylabel="log loss on clean test labels (nats)",
    )
    ax.legend()
plt.show()
