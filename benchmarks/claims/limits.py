"""Distance to the information bottleneck where it is known: Gaussian in closed form, discrete by Blahut-Arimoto.

The loss of a fit is D + beta R; its excess is that over the least H(Y|T) + beta I(X;T) of any code T. For discrete X
the excess is split in two: beta KL(q(z) || N(0, I)), which is what the rate pays above I(X;Z) since the code's own
marginal is not the prior, and the remainder, which is that of the network. All in nats.
"""

import numpy as np
from scipy.special import entr, logsumexp

from benchmarks.claim import Claim, verdict
from skvib import VIBClassifier, VIBRegressor, discrete_limit, gaussian_limit

BETAS = 0.03, 0.1, 0.3, 0.5, 0.8
DISCRETE_BETAS = 0.01, 0.03, 0.1, 0.3, 0.5
TABLES = "4 x 3", "8 x 3", "16 x 8", "16 x 4, near deterministic"
FREE = {"early_stopping": False, "alpha": 0.0}


def gaussian_problem(name, n_rows=20_000):
    """X of a condition number, rotated, and targets that share rho^2 of .8, and .5, with directions of it."""
    condition, n_outputs = {"whitened": (1, 1), "condition 100": (100, 1), "two targets, condition 10": (10, 2)}[name]
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(n_rows, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    X = latent * np.geomspace(1, 1 / condition, 4) ** 0.5 @ rotation
    rho2 = np.array([0.8, 0.5])[:n_outputs]
    signal = latent[:, [0, 3]] if n_outputs == 2 else latent @ np.full((4, 1), 0.5)
    return X, np.sqrt(rho2) * signal + np.sqrt(1 - rho2) * rng.normal(size=(n_rows, n_outputs))


def gaussian(problem, beta):
    X, Y = gaussian_problem(problem)
    i_xz, i_zy = np.squeeze(gaussian_limit(X, Y, [beta]))
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.atleast_2d(np.cov(Y.T, bias=True)))[1]
    limit = entropy - i_zy + beta * i_xz
    model = VIBRegressor(
        beta=beta, hidden_layer_sizes=(), noise="homoscedastic", max_iter=60, random_state=0, **FREE
    ).fit(X, Y)
    return {"limit": float(limit), "excess": float(model.distortion_ + beta * model.rate_ - limit)}


def joint_table(name):
    """A random p(x, y), (n_x, n_y)."""
    index = TABLES.index(name)
    n_x, n_y = ((4, 3), (8, 3), (16, 8), (16, 4))[index]
    rng = np.random.default_rng(index)
    conditional = rng.dirichlet(np.full(n_y, 0.1 if "deterministic" in name else 0.5), size=n_x)
    return rng.dirichlet(np.full(n_x, 5.0))[:, None] * conditional


def least_loss(p_xy, beta):
    """The least H(Y|T) + beta I(X;T) that was found."""
    i_xz, i_zy = np.squeeze(discrete_limit(p_xy, [beta]))
    return entr(p_xy.sum(0)).sum() - i_zy + beta * i_xz


def price_of_the_prior(mu, sigma, p_x, n_draws=20_000):
    """KL(q(z) || N(0, I)) for q(z) = sum_x p(x) q(z|x), by draws."""
    rng = np.random.default_rng(0)
    z = mu[:, None] + sigma[:, None] * rng.normal(size=(len(mu), n_draws, mu.shape[1]))
    log_q = np.stack([-0.5 * ((z - m) / s) ** 2 - np.log(s) for m, s in zip(mu, sigma, strict=True)]).sum(-1)
    log_marginal = logsumexp(log_q + np.log(p_x)[:, None, None], axis=0)
    return float(p_x @ (log_marginal + 0.5 * (z**2).sum(-1)).mean(1))


def discrete(problem, beta, **options):
    p_xy = joint_table(problem)
    n_x, n_y = p_xy.shape
    x, y = np.repeat(np.arange(n_x), n_y), np.tile(np.arange(n_y), n_x)
    limit = least_loss(p_xy, beta)
    model = VIBClassifier(
        beta=beta,
        hidden_layer_sizes=(64,),
        latent_dim=4,
        decoder_hidden_layer_sizes=(64,),
        n_train_draws=32,
        n_predict_draws=512,
        standardize=False,
        max_iter=3000,
        random_state=0,
        **FREE,
        **options,
    ).fit(np.eye(n_x)[x], y, sample_weight=p_xy.ravel())
    excess = model.distortion_ + beta * model.rate_ - limit
    of_prior = beta * price_of_the_prior(*model.encode(np.eye(n_x)), p_xy.sum(1))
    figures = {"limit": limit, "excess": excess, "of_the_prior": of_prior, "remainder": excess - of_prior}
    return {name: float(value) for name, value in figures.items()}


def run(kind, problem, beta):
    return gaussian(problem, beta) if kind == "Gaussian" else discrete(problem, beta)


def settings():
    for problem in ("whitened", "condition 100", "two targets, condition 10"):
        yield from ({"kind": "Gaussian", "problem": problem, "beta": beta} for beta in BETAS)
    for problem in TABLES:
        yield from ({"kind": "discrete", "problem": problem, "beta": beta} for beta in DISCRETE_BETAS)


def verdicts(rows):
    farthest = max(abs(row["excess"]) for row in rows if row["kind"] == "Gaussian")
    target = "within .01 nats of the Gaussian IB at every beta"
    yield verdict(target, f"{farthest:.4f} nats at worst", farthest <= 0.01)
    of_tables = [row for row in rows if row["kind"] == "discrete"]
    worst = max(of_tables, key=lambda row: row["excess"])
    found = f"at most {worst['excess']:.3f} nats, of which {worst['of_the_prior']:.3f} are the prior's price"
    is_above = min(row["remainder"] for row in of_tables) > -1e-3
    target = f"no code more than .001 below the discrete IB of {len(TABLES)} tables; distance split"
    yield verdict(target, found, is_above)


LIMITS = Claim("limits", settings, run, list, verdicts, n_jobs=2)
