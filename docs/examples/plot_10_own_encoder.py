"""
How do I use my own encoder? A small convolutional network on images
====================================================================

``encoder=`` takes any torch module that maps rows to features, or a function that
makes one. The bottleneck, the decoder, the loss, the search and the rest stay the
same. Rows may have any shape: here images, one channel of 16 x 16 pixels.
"""

# %%
# The encoder
# -----------
# A function makes a fresh module for every fit, under the estimator's seed. It is
# defined at the top of a module, so that a fitted model can be pickled.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from torch import nn

from skvib import InformationPlaneDisplay, LatentDisplay, VIBClassifier


def small_convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )


# %%
# Digits anywhere in the image
# ----------------------------
# Each digit stands at a random place of a larger image. Convolutions find it
# anywhere; dense layers must learn every place.
X, y = load_digits(return_X_y=True)
train, test = train_test_split(
    np.arange(len(y)), test_size=0.5, stratify=y, random_state=0
)
rng = np.random.default_rng(0)


def placed(rows):
    """Images with the digits of these rows at random places."""
    images = np.zeros((len(rows), 1, 16, 16), dtype=np.float32)
    for image, digit, (top, left) in zip(
        images, X[rows], rng.integers(9, size=(len(rows), 2)), strict=True
    ):
        image[0, top : top + 8, left : left + 8] = digit.reshape(8, 8) / 16
    return images


train = np.repeat(train, 4)  # each digit at four places
images, images_test, y_train, y_test = placed(train), placed(test), y[train], y[test]

options = {
    "beta": 0.01,
    "latent_dim": 8,
    "max_iter": 20,
    "standardize": False,
    "random_state": 0,
}
convolutional = VIBClassifier(encoder=small_convolutions, **options).fit(
    images, y_train
)
dense = VIBClassifier(hidden_layer_sizes=(256, 128), **options).fit(
    images.reshape(len(images), -1), y_train
)
for name, model, rows in (
    ("dense", dense, images_test.reshape(len(images_test), -1)),
    ("convolutional", convolutional, images_test),
):
    p = model.predict_proba(rows)
    print(
        f"{name:15s}accuracy {np.mean(p.argmax(axis=1) == y_test):.3f}, log loss {log_loss(y_test, p):.3f}"
    )

# %%
# Everything else works as before
# -------------------------------
# Codes, rates, information; and a list of models, each at its own beta, in the
# information plane.
BETAS = [0.03, 0.1]
others = [
    VIBClassifier(encoder=small_convolutions, **options | {"beta": beta})
    for beta in BETAS
]
models = [convolutional, *(model.fit(images, y_train) for model in others)]
figure, (plane, code) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
InformationPlaneDisplay.from_estimator(models, images_test, y_test, ax=plane)
LatentDisplay.from_estimator(convolutional, images_test, y_test, ax=code)
plt.show()
