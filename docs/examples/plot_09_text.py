"""
numpy, scipy or scikit-learn: which library does this docstring come from?
==========================================================================

Text in a Pipeline: TF-IDF makes a sparse matrix with thousands of columns, and
``VIBClassifier`` takes it as it is, never densified. The documents are the docstrings
of three libraries that you have installed, so nothing is downloaded.
"""

# %%
# Collect the docstrings
# ----------------------
# Of public functions and classes; names of the libraries are taken out, or the task
# would be too easy.
import importlib
import inspect
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skvib import (
    BetaSearchCV,
    FeatureInformationDisplay,
    VIBClassifier,
    mutual_information,
)

MODULES = {
    "numpy": [
        "",
        "fft",
        "linalg",
        "random",
        "ma",
        "polynomial.polynomial",
        "testing",
        "strings",
    ],
    "scipy": [
        "cluster.hierarchy",
        "fft",
        "integrate",
        "interpolate",
        "linalg",
        "ndimage",
        "optimize",
        "signal",
    ],
    "sklearn": [
        "cluster",
        "datasets",
        "decomposition",
        "ensemble",
        "linear_model",
        "metrics",
        "preprocessing",
        "svm",
    ],
}
SECTIONS = (
    r"numpy|scipy|sklearn|scikit.learn|\bnp\b|>>>.*|\.\.\. .*|versionadded.*|https?\S+"
)
texts, labels = [], []
for library, modules in MODULES.items():
    found = set()
    for name in modules:
        module = importlib.import_module(f"{library}.{name}".rstrip("."))
        for attribute in dir(module):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                thing = getattr(module, attribute, None)
            if attribute[0] != "_" and (
                inspect.isroutine(thing) or inspect.isclass(thing)
            ):
                found.add(inspect.getdoc(thing) or "")
    found = sorted(
        re.sub(SECTIONS, " ", text, flags=re.IGNORECASE)
        for text in found
        if len(text) > 200
    )
    texts += found
    labels += [library] * len(found)
labels = np.array(labels)
print({library: int(np.sum(labels == library)) for library in MODULES})
print("\n" + texts[5][:200])

# %%
# A Pipeline, sparse all the way
# ------------------------------
text_train, text_test, y_train, y_test = train_test_split(
    texts, labels, test_size=0.4, stratify=labels, random_state=0
)
tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
vib = VIBClassifier(hidden_layer_sizes=(64,), latent_dim=8, max_iter=30, random_state=0)
search = BetaSearchCV(
    make_pipeline(tfidf, vib), {"vibclassifier__beta": np.geomspace(1e-4, 0.5, 8)}, cv=3
)
search.fit(text_train, y_train)
logistic = make_pipeline(tfidf, LogisticRegression(C=10.0, max_iter=1000)).fit(
    text_train, y_train
)
print(
    f"{len(tfidf.fit(text_train).vocabulary_)} words; chosen beta {search.best_params_['vibclassifier__beta']:.2g}"
)
for name, model in {"VIBClassifier": search, "LogisticRegression": logistic}.items():
    p = model.predict_proba(text_test)
    accuracy = np.mean(model.predict(text_test) == y_test)
    print(f"{name:20s}accuracy {accuracy:.3f}, log loss {log_loss(y_test, p):.3f}")

# %%
# How much does the code say?
# ---------------------------
# Of the documents, and of the library: at most log(3) = 1.1 nats.
print(mutual_information(search, text_test, y_test))

# %%
# Which words did it keep?
# ------------------------
# Features are the columns that the network sees, so ask the last step. A single word
# stands in few documents; groups of words are the better question. Masked arrays live in
# numpy alone, and the code remembers them. No group is indispensable to the prediction:
# other words say the same.
WORDS = {
    "estimators": ["estimator", "fit", "predict", "classifier", "samples", "features"],
    "shapes of data": ["array_like", "ndarray", "shape", "dtype", "axis", "scalar"],
    "masks": ["masked", "mask", "masked_array", "fill_value"],
    "curves": ["spline", "interpolation", "knots", "points", "derivative"],
    "sections": ["parameters", "returns", "notes", "examples", "attributes", "see"],
    "small words": ["the", "of", "is", "and", "to", "in"],
}
best = search.best_estimator_
rows, vocabulary = best[0].transform(text_test), best[0].vocabulary_
features = {
    name: [vocabulary[word] for word in words if word in vocabulary]
    for name, words in WORDS.items()
}

figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
ConfusionMatrixDisplay.from_estimator(
    search, text_test, y_test, ax=axes[0], colorbar=False, cmap="Blues"
)
FeatureInformationDisplay.from_estimator(
    best[-1], rows, y_test, features=features, n_replacements=16, ax=axes[1]
)
plt.show()
