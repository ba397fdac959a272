"""FVIB (Kudo, Ono, Kanaya and Huang 2024), one training by least squares and then any beta in closed form, as a rival.

A network learns h(x), the class less 1 / C in coordinates of C - 1 dimensions, by least squares; at any beta the code
is N(sqrt(1 - beta) h(x), beta I) and the logits are linear in it. That is optimal for a second-order approximation of
the loss about equal probabilities. "Tuned" divides the logits by the paper's temperature (confidence .9995). The path
is the amortized one of the claim `beta_paths`: the same widths, batches and number of steps, the same rows held out; it
is trained to the end, without validation rows. "Defaults" is a path of VIBClassifier at its defaults, which holds out
rows of its own.
"""

import numpy as np
from scipy.special import log_softmax, logsumexp
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from benchmarks.claim import Claim, stored_result, verdict
from benchmarks.claims.beta import LOADERS, NETWORK, STEPS
from skvib import VIBClassifier, beta_path

SETS = "digits", "breast_cancer", "pendigits"
N_DRAWS, CONFIDENCE = 64, 0.9995


class FVIB:
    def __init__(self, **options):
        self.options = options

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        n_classes = len(self.classes_)
        # K' K is the inverse of the covariance of the first C - 1 indicators of C equally frequent classes
        self.K = np.linalg.cholesky(n_classes * (1.0 + np.eye(n_classes - 1))).T
        indicators = (y[:, None] == self.classes_[:-1]) - 1.0 / n_classes
        self.scaler = StandardScaler().fit(X)
        self.network = MLPRegressor(**self.options).fit(self.scaler.transform(X), indicators @ self.K.T)
        return self

    def posterior(self, X, beta):
        mean = self.network.predict(self.scaler.transform(X)).reshape(len(X), -1)
        return np.sqrt(1.0 - beta) * mean, np.sqrt(beta)

    def rates(self, X, beta):
        mean, scale = self.posterior(X, beta)
        return 0.5 * (mean**2 + scale**2 - 1.0).sum(axis=1) - mean.shape[1] * np.log(scale)

    def log_p_at_draws(self, X, beta, tuned):
        """log q(c|z), (n_draws, n, C)."""
        n_classes, (mean, scale) = len(self.classes_), self.posterior(X, beta)
        noise = np.random.default_rng(0).standard_normal((N_DRAWS, *mean.shape))
        logits = np.sqrt(1.0 - beta) * (mean + scale * noise) @ np.pad(self.K, ((0, 0), (0, 1)))
        temperature = n_classes / (np.log(n_classes - 1) + np.log(CONFIDENCE / (1.0 - CONFIDENCE)))
        return log_softmax(logits / (temperature if tuned else 1.0), axis=-1)


def run(set):
    X, y = LOADERS[set]()
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0)
    size = int(np.clip(len(X) / 8, 32, 200))
    epochs = STEPS // int(np.ceil(len(X) / size))
    options = {"hidden_layer_sizes": NETWORK["hidden_layer_sizes"], "batch_size": size, "max_iter": epochs}
    model = FVIB(**options, tol=0.0, n_iter_no_change=epochs, random_state=0).fit(X, y)
    codes, codes_val = np.searchsorted(model.classes_, y), np.searchsorted(model.classes_, y_val)
    paths = [row for row in stored_result("beta_paths")["rows"] if row["set"] == set]
    default = beta_path(VIBClassifier(random_state=0), X, y, betas=[path["beta"] for path in paths])
    for path in paths:
        beta = min(path["beta"], 1.0 - 1e-9)
        row = {"beta": path["beta"], "rate": float(model.rates(X, beta).mean())}
        for name, tuned in (("", False), (" tuned", True)):
            at_draws = model.log_p_at_draws(X, beta, tuned)
            row[f"loss{name}"] = float(beta * row["rate"] - at_draws[:, np.arange(len(y)), codes].mean())
            held_out = logsumexp(model.log_p_at_draws(X_val, beta, tuned), axis=0) - np.log(N_DRAWS)
            row[f"log_likelihood{name}"] = float(held_out[np.arange(len(y_val)), codes_val].mean())
        named = {"loss_path": "loss_amortized", "log_likelihood_path": "log_likelihood_amortized"}
        likelihoods = default.at_beta(path["beta"]).log_likelihood_samples(X_val, y_val)
        row["log_likelihood_defaults"] = float(likelihoods.mean())
        yield row | {name: path[column] for name, column in named.items()}


def verdicts(rows):
    won = sum(row["loss_path"] < min(row["loss"], row["loss tuned"]) for row in rows)
    yield verdict("training loss below FVIB's at every beta", f"{won} of {len(rows)}", won == len(rows))
    for set in SETS:
        mine = [row for row in rows if row["set"] == set]
        ours = max(row["log_likelihood_defaults"] for row in mine)
        theirs = max(row[name] for row in mine for name in ("log_likelihood", "log_likelihood tuned"))
        target = f"{set}: held-out log-likelihood at the best beta ahead of FVIB's at its best"
        yield verdict(target, f"{ours:.4f} against {theirs:.4f}", ours > theirs)


FVIB_CLAIM = Claim("fvib", lambda: [{"set": name} for name in SETS], run, list, verdicts, n_jobs=2)
