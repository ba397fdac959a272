"""What `invariance` leaves out of a code, and what it costs: a sensitive attribute, a domain, a scanner.

Attributes: sex is not among the inputs of adult (official split) and of credit-g (five stratified folds; there it is a
part of personal_status). A thief learns it from the mean codes of all training rows by gradient boosting. Beside it
fairlearn's ExponentiatedGradient on a logistic regression (Agarwal et al. 2018), at several bounds of demographic
parity. Domains: the 2000 digits of MNIST and 1800 of USPS of Long et al. (2013), 256 pixels, each row less its mean
and divided by its deviation; and images of both, 28 x 28, half of whose rows each domain gives, with
``encoder="conv"``. Target rows have no labels; accuracy is on them, or, of images, on the official test rows. Scanner:
generated rows, in which a pattern agrees with the label in 90 % of training rows and in half of the test rows.
"""

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.claim import Claim, verdict
from benchmarks.datasets import classification, folder, images
from benchmarks.scoring import means
from skvib import VIBClassifier, nuisance_information

INVARIANCES = {
    "attribute": (0.0, 1.0, 2.0, 3.0, 4.0),
    "domain": (0.0, 0.3, 1.0, 3.0, 10.0),
    "domain, images": (0.0, 0.3, 1.0, 3.0),
    "scanner": (0.0, 0.3, 1.0, 3.0),
}
BOUNDS = (0.02, 0.05, 0.1)  # of demographic parity
N_SEEDS = {"adult": 3, "credit-g": 5, "scanner": 5, "pair": 5, "images": 1}
WAYS = ("MNIST -> USPS", "USPS -> MNIST")
ATTRIBUTES = {"adult": "sex", "credit-g": "personal_status"}
N_IMAGES, N_EPOCHS = 7000, 30
OF_CODES = "told_lower", "told_upper", "rate"
SETTING = ("part", "data", "method", "invariance", "seed")


def run(part, data, method, invariance, seed):
    return PARTS[part](data, method, invariance, seed)


def attribute(data, method, invariance, seed):
    X, y, sex, X_test, y_test, sex_test = without_the_attribute(data, seed)
    if method == "VIB":
        model = VIBClassifier(invariance=invariance, random_state=seed)
        model.fit(X, y, nuisance=sex if invariance else None)
        codes, predicted = (model.transform(X), model.transform(X_test)), model.predict(X_test)
        told = nuisance_information(model, X_test, sex_test)
        figures = {"told_lower": float(told.lower), "told_upper": float(told.upper), "rate": model.rate_}
    else:
        predicted, codes, figures = fair_predictions(X, y, sex, X_test, invariance, seed), (X, X_test), {}
    thief = HistGradientBoostingClassifier(random_state=0).fit(codes[0], sex)
    figures["auc_of_sex"] = float(roc_auc_score(sex_test, thief.predict_proba(codes[1])[:, 1]))
    return {"accuracy": float(np.mean(predicted == y_test)), **figures, **differences(y_test, predicted, sex_test)}


def without_the_attribute(data, seed):
    """Inputs, labels and sex of training and of test rows."""
    table = classification(data)
    column = {"adult": 9, "credit-g": 8}[data]
    sex = np.array([str(value).strip().lower().startswith("female") for value in table.X[:, column]]).astype(int)
    kept = [k for k in range(table.X.shape[1]) if k != column]
    categorical = [kept.index(k) for k in table.categorical if k != column]
    rest = type(table)(table.X[:, kept], table.y, categorical)
    if table.n_train:
        train, test = np.arange(table.n_train), np.arange(table.n_train, len(table.y))
    else:
        train, test = [*StratifiedKFold(5, shuffle=True, random_state=0).split(table.X, table.y)][seed]
    X, y, X_test, y_test = rest.split(train, test)
    return X, y, sex[train], X_test, y_test, sex[test]


def fair_predictions(X, y, sex, X_test, bound, seed):
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient

    constraint = DemographicParity(difference_bound=bound)
    fair = ExponentiatedGradient(LogisticRegression(max_iter=200), constraint).fit(X, y, sensitive_features=sex)
    return np.asarray(fair.predict(X_test, random_state=seed))


def differences(y, predicted, sex):
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    return {
        "demographic_parity": float(demographic_parity_difference(y, predicted, sensitive_features=sex)),
        "equalized_odds": float(equalized_odds_difference(y, predicted, sensitive_features=sex)),
    }


def domain(data, method, invariance, seed):
    X, y, X_target, y_target = pair() if data == WAYS[0] else (*pair()[2:], *pair()[:2])
    model = VIBClassifier(standardize=False, random_state=seed)
    return {"accuracy": float(adapted(model, invariance, X, y, X_target).score(X_target, y_target))}


def pair():
    with np.load(folder() / "domain_adaptation" / "mnist_usps_long2013.npz") as stored:
        sets = [(stored["X_mnist_x256"] / 256.0, stored["y_mnist"]), (stored["X_usps"], stored["y_usps"])]
    parts = []
    for X, y in sets:
        X = np.asarray(X, dtype=np.float32)
        parts += [(X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True), y.astype(int).ravel()]
    return parts


def domain_of_images(data, method, invariance, seed):
    X, y, X_test, y_test = images("mnist")
    mnist = (X.reshape(-1, 28, 28) + 1) / 2, y.astype(int), (X_test.reshape(-1, 28, 28) + 1) / 2, y_test.astype(int)
    source, target = (mnist, usps()) if data == WAYS[0] else (usps(), mnist)
    rng = np.random.default_rng(seed)
    rows, others = (rng.permutation(len(part[1]))[:N_IMAGES] for part in (source, target))
    model = VIBClassifier(encoder="conv", max_iter=N_EPOCHS, random_state=seed)
    model = adapted(model, invariance, source[0][rows], source[1][rows], target[0][others])
    return {"accuracy": float(model.score(*target[2:]))}


def usps():
    """Images (n, 28, 28) and labels of training and test rows."""
    with np.load(folder() / "domain_adaptation" / "usps_16x16.npz") as stored:
        parts = [stored[name] for name in ("X_train_milli", "y_train", "X_test_milli", "y_test")]
    for k in (0, 2):
        pixels = torch.from_numpy((parts[k].astype(np.float32) / 1000 + 1) / 2).reshape(-1, 1, 16, 16)
        parts[k] = torch.nn.functional.interpolate(pixels, size=(28, 28), mode="bilinear")[:, 0].numpy()
        parts[k + 1] = parts[k + 1].astype(int)
    return parts


def adapted(model, invariance, X, y, X_target):
    """A model of source rows, and of target rows without labels where there is an invariance."""
    if not invariance:
        return model.fit(X, y)
    model.set_params(missing_label=-1, invariance=invariance)
    labels, of_domain = np.r_[y, np.full(len(X_target), -1)], np.repeat([0, 1], [len(X), len(X_target)])
    return model.fit(np.concatenate([X, X_target]), labels, nuisance=of_domain)


def scanner(data, method, invariance, seed):
    rng = np.random.default_rng(seed)
    X, y, of_scanner = scans(rng, 2000, agreement=0.9)
    X_test, y_test, _ = scans(rng, 4000, agreement=0.5)
    if method == "without the pattern":
        X, X_test = (part[:, :15] for part in (X, X_test))
    model = VIBClassifier(invariance=invariance, random_state=seed)
    model.fit(X, y, nuisance=of_scanner if invariance else None)
    return {"accuracy": float(model.score(X_test, y_test))}


def scans(rng, n, agreement):
    """Rows whose first five columns tell the label, and the last five the scanner."""
    y = rng.integers(0, 2, n)
    of_scanner = np.where(rng.random(n) < agreement, y, 1 - y)
    X = rng.normal(size=(n, 20))
    X[:, :5] += 0.6 * (2 * y - 1)[:, None]
    X[:, 15:] += (2 * of_scanner - 1)[:, None]
    return X, y, of_scanner


PARTS = {"attribute": attribute, "domain": domain, "domain, images": domain_of_images, "scanner": scanner}


def settings():
    def of(part, data, method, invariance, n_seeds):
        values = product_of(part, data, method, invariance)
        yield from ({**values, "seed": seed} for seed in range(n_seeds))

    for data in ATTRIBUTES:
        for invariance in INVARIANCES["attribute"]:
            yield from of("attribute", data, "VIB", invariance, N_SEEDS[data])
        for bound in BOUNDS:
            yield from of("attribute", data, "ExponentiatedGradient", bound, N_SEEDS[data] if data != "adult" else 1)
    for part, n_seeds in (("domain", N_SEEDS["pair"]), ("domain, images", N_SEEDS["images"])):
        for data in WAYS:
            for invariance in INVARIANCES[part]:
                yield from of(part, data, "VIB", invariance, n_seeds)
    for invariance in INVARIANCES["scanner"]:
        yield from of("scanner", "generated", "VIB", invariance, N_SEEDS["scanner"])
    yield from of("scanner", "generated", "without the pattern", 0.0, N_SEEDS["scanner"])


def product_of(part, data, method, invariance):
    return {"part": part, "data": data, "method": method, "invariance": invariance}


def summary(runs):
    groups = {}
    for one in runs:
        groups.setdefault(tuple(one[name] for name in SETTING[:-1]), []).append(one)
    for key, mine in groups.items():
        of_codes = dict.fromkeys(OF_CODES) if key[0] == "attribute" else {}
        yield {**product_of(*key), "seeds": len(mine), **of_codes, **means(mine, SETTING)}


def verdicts(rows):
    def of(part, data, method="VIB"):
        return [row for row in rows if (row["part"], row["data"], row["method"]) == (part, data, method)]

    private = [row for row in of("attribute", "adult") if row["accuracy"] >= 0.84]
    best = min(private, key=lambda row: row["auc_of_sex"])
    measured = f"{best['auc_of_sex']:.3f} at {best['accuracy']:.4f} (invariance {best['invariance']:g})"
    yield verdict("adult: AUC of sex at most .60 at an accuracy of at least .84", measured, best["auc_of_sex"] <= 0.6)
    for data, least in zip(WAYS, (0.70, None), strict=True):
        source, *others = of("domain", data)
        best, worst = (choose(others, key=lambda row: row["accuracy"]) for choose in (max, min))
        measured = f"{best['accuracy']:.3f} (invariance {best['invariance']:g}), source only {source['accuracy']:.3f}"
        if least:
            yield verdict(f"{data}, 256 pixels: above .70", measured, best["accuracy"] > least)
        measured = f"{worst['accuracy']:.3f} (invariance {worst['invariance']:g}) against {source['accuracy']:.3f}"
        is_met = worst["accuracy"] >= source["accuracy"]
        yield verdict(f"{data}, 256 pixels: at no invariance below source only (added)", measured, is_met)
    for data, least in zip(WAYS, (0.965, 0.89), strict=True):
        source, *others = of("domain, images", data)
        best = max(others, key=lambda row: row["accuracy"])
        measured = f"{best['accuracy']:.3f} (invariance {best['invariance']:g}), source only {source['accuracy']:.3f}"
        yield verdict(f"{data}, images: at least {least:g}", measured, best["accuracy"] >= least)
    (without,) = of("scanner", "generated", "without the pattern")
    best = max(of("scanner", "generated"), key=lambda row: row["accuracy"])
    measured = f"{best['accuracy']:.3f} (invariance {best['invariance']:g}) against {without['accuracy']:.3f}"
    target = "scanner: within .02 of training without the pattern"
    yield verdict(target, measured, best["accuracy"] >= without["accuracy"] - 0.02)


NUISANCES = Claim("nuisances", settings, run, summary, verdicts, n_jobs=2)
