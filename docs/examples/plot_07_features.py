"""
Which features did the code keep?
=================================

``feature_information`` asks the code itself: how many nats does it say of a feature
that the other features do not say? A feature that does not enter the network gets
exactly 0, one of which it has learnt but noise a little. Beside it stands what the
prediction of the target loses if the feature is not known. No score, no refit, and
groups are welcome.
"""

# %%
# Five informative features of ten
# --------------------------------
# In Friedman's first problem the target depends on x0 ... x4 and not on x5 ... x9.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, make_friedman1
from sklearn.model_selection import train_test_split

from skvib import (
    BetaSearchCV,
    FeatureInformationDisplay,
    VIBClassifier,
    VIBRegressor,
    feature_information,
)

X, y = make_friedman1(6000, noise=1.0, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
search = BetaSearchCV(
    VIBRegressor(hidden_layer_sizes=(32,), latent_dim=4, random_state=0),
    selection="1se",
)
search.fit(X_train, y_train)
found = feature_information(search, X_test, y_test)
print(f"beta = {search.best_params_['beta']:.2g}")
print(found.to_frame().to_string(index=False, float_format="%.3f"))

# %%
# Breast cancer: ten measures, three ways each
# --------------------------------------------
# The thirty features are means, errors and worst values of ten measures. They depend
# on one another, and taken alone from another row a single one makes patients that
# never were. Groups of three ask about the measure.
data = load_breast_cancer(as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(
    data.data, data.target, test_size=0.5, random_state=0
)
classifier = VIBClassifier(
    hidden_layer_sizes=(64,), latent_dim=8, beta=0.1, max_iter=60, random_state=0
)
classifier.fit(X_train, y_train)
measures = [name.removeprefix("mean ") for name in data.data.columns[:10]]
groups = {
    measure: [column for column in data.data.columns if measure in column]
    for measure in measures
}

figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
FeatureInformationDisplay(found).plot(ax=axes[0])
axes[0].set_title("Friedman 1: x5 ... x9 are noise")
FeatureInformationDisplay.from_estimator(
    classifier, X_test, y_test, features=groups, ax=axes[1]
)
axes[1].set_title("Breast cancer, by measure")

# %%
# The price decides
# -----------------
# A cheap code also keeps noise, of which it has learnt the training rows by heart; a
# dear one drops the weaker features.
BETAS = np.geomspace(0.01, 0.6, 7)
X, y = make_friedman1(4000, noise=1.0, random_state=1)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
kept = []
for beta in BETAS:
    model = VIBRegressor(
        hidden_layer_sizes=(32,), latent_dim=4, beta=beta, max_iter=100, random_state=0
    )
    kept.append(feature_information(model.fit(X_train, y_train), X_test).x_kept)
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for feature, style in zip(range(5), ("o-", "s-", "D-", "^-", "v-"), strict=True):
    ax.plot(BETAS, np.array(kept)[:, feature], style, label=f"x{feature}")
ax.plot(
    BETAS, np.array(kept)[:, 5:], ":", color="0.5", label=["x5 ... x9", *[None] * 4]
)
ax.set(xscale="log", xlabel="beta, price of a nat", ylabel="kept by the code (nats)")
ax.legend()
plt.show()
