"""Every closed-form derivative against autograd, and the closed-form rate against Monte Carlo."""

import numpy as np
import pytest
import torch

from skvib.nn.heads import repeat_rows
from skvib.nn.layers import ACTIVATIONS, N_GROUPS, ConditionedOnBeta, SparseRows
from skvib.nn.likelihoods import LIKELIHOODS
from skvib.nn.network import Architecture, VIBNetwork, quasi_normal
from skvib.nn.objective import loss_terms
from skvib.nn.operations import TORCH
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.priors import StandardNormal
from skvib.nn.rows import Batch, Rows
from skvib.nn.weights import WeightMatrix

N_ROWS, N_FEATURES, N_OUTPUTS = N_GROUPS, 5, 3


def make_network(
    activation="tanh",
    likelihood="categorical",
    hidden=(6, 4),
    latent_dims=(3,),
    encoders=None,
    row_values=None,
    kind=Architecture,
    decoder=(5,),
    edges=None,
    prior="normal",
    invariances=None,
):
    n_ramps = edges[0].low.numel() if edges else 0
    n_components = 0 if prior == "normal" else N_OUTPUTS
    architecture = kind(N_FEATURES, hidden, decoder, activation, likelihood, N_OUTPUTS, n_ramps, prior, n_components)
    network = VIBNetwork(
        architecture, latent_dims, encoders, row_values=row_values, edges=edges, invariances=invariances
    ).double()
    weights = WeightMatrix(network)
    generator = torch.Generator().manual_seed(0)
    weights.values.normal_(0.0, 0.5, generator=generator)
    return network, weights


def make_batch(network, likelihood="categorical", n_draws=1, x=None):
    generator = torch.Generator().manual_seed(1)
    m, latent_dim = network.n_networks, max(network.bottleneck.latent_dims)
    if likelihood == "categorical":
        y = torch.randint(N_OUTPUTS, (m, N_ROWS), generator=generator)
    else:
        y = torch.rand((m, N_ROWS, N_OUTPUTS), generator=generator, dtype=torch.float64).round()
    noise = torch.randn((m, n_draws, N_ROWS, latent_dim), generator=generator, dtype=torch.float64)
    if network.bottleneck.used is not None:
        noise = noise * network.bottleneck.used.unsqueeze(1)
    if x is None:
        x = torch.randn((m, N_ROWS, N_FEATURES), generator=generator, dtype=torch.float64)
    weight = torch.rand((m, N_ROWS), generator=generator, dtype=torch.float64)
    n_rows = torch.full((m, 1), float(N_ROWS), dtype=torch.float64)
    return Batch(Rows(x, weight, {"y": y}, {}), noise, n_rows)


def autograd_gradients(network, batch, beta):
    """The values of each term of the same loss in plain torch, and its gradients by autograd."""
    posterior, rows = network(batch.rows.inputs), batch.rows
    z = posterior.sample(batch.noise).flatten(1, 2)
    distortions = [distortion_of(head, z, rows.targets[name]) for name, head in network.heads.items()]
    rate = 0.5 * (posterior.mu**2 + posterior.sigma**2 - 1.0 - 2.0 * posterior.sigma.log()).sum(-1)
    loss = (rows.weights / batch.n_rows * beta * rate).sum()
    for name, distortion in zip(network.heads, distortions, strict=True):
        loss = loss + (rows.shares.get(name, rows.weights) / batch.n_rows * distortion).sum()
    parameters = [p for p in network.parameters() if p.requires_grad]
    return torch.autograd.grad(loss, parameters, allow_unused=True), *distortions, rate


def distortion_of(head, z, y):
    eta, n_draws = head.decoder(z), z.shape[1] // y.shape[1]
    y = repeat_rows(y, n_draws)
    if isinstance(head.likelihood, LIKELIHOODS["categorical"]):
        values = torch.nn.functional.cross_entropy(eta.mT, y, reduction="none")
    else:
        values, _ = head.likelihood.record(eta, y)
    return values.unflatten(1, (n_draws, -1)).mean(1)


def assert_values(terms, *expected):
    for term, values in zip(terms, expected, strict=True):
        torch.testing.assert_close(term, values)


def assert_gradients_of_price_agree(network):
    """Of two networks with a prior of one term and any price, which is of mean distortion and mean rate."""
    batch, beta = make_batch(network, n_draws=2), torch.tensor([[0.1], [0.4]], dtype=torch.float64)
    posterior, rows = network(batch.rows.inputs), batch.rows
    code = Code(posterior, batch.noise, posterior.sample(batch.noise))
    (distortion, _), ((rate,), _) = network.head.record(code, rows, "y"), network.prior.record(code, rows)
    weight = rows.weights.sum(1, keepdim=True)
    means = ((rows.weights * term).sum(1, keepdim=True) / weight for term in (distortion, rate))
    loss = (weight / batch.n_rows * network.price.loss(beta, *means)).sum()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    with torch.no_grad():
        terms = loss_terms(network, batch, beta)
    assert_values(terms, distortion, rate)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)


def assert_gradients_agree(network, batch, beta=0.3, atol=1e-12):
    if not isinstance(beta, torch.Tensor):
        beta = torch.full((network.n_networks, 1), beta, dtype=torch.float64)
    expected, *values = autograd_gradients(network, batch, beta)
    with torch.no_grad():
        terms = loss_terms(network, batch, beta)
    assert_values(terms, *values)
    parameters = [p for p in network.parameters() if p.requires_grad]
    assert len(parameters) >= 6
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradients_agree_with_autograd_for_each_activation(activation):
    network, _ = make_network(activation)
    assert_gradients_agree(network, make_batch(network))


@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_gradients_agree_with_autograd_for_each_likelihood(likelihood, n_draws):
    network, _ = make_network(likelihood=likelihood)
    assert_gradients_agree(network, make_batch(network, likelihood, n_draws))


def test_gradients_agree_without_hidden_layers():
    network, _ = make_network(hidden=())
    assert_gradients_agree(network, make_batch(network))


def test_gradients_agree_in_a_stack_of_different_latent_sizes():
    network, _ = make_network(latent_dims=(1, 3, 2))
    assert_gradients_agree(network, make_batch(network))


def test_gradients_agree_for_a_module_of_the_user():
    module = torch.nn.Sequential(torch.nn.Linear(N_FEATURES, 4), torch.nn.GELU(), torch.nn.LayerNorm(4))
    network, _ = make_network(hidden=(4,), encoders=[module])
    assert_gradients_agree(network, make_batch(network))


@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_gradients_agree_where_every_row_has_its_own_beta(likelihood, n_draws):
    row_values = ConditionedOnBeta((-9.0, 0.0))
    network, _ = make_network(likelihood=likelihood, latent_dims=(3, 2), row_values=row_values)
    log_beta = -9.0 * torch.rand(2, N_ROWS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    row_values.condition(log_beta)
    # gradients are as large as 1e6 here, and tiny at knots far from all betas: rounding
    assert_gradients_agree(network, make_batch(network, likelihood, n_draws), log_beta.exp(), atol=1e-11)


@pytest.mark.parametrize("hidden", [(), (6, 4)])
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_at_one_beta_the_gates_fold_into_a_plain_network(likelihood, hidden):
    row_values = ConditionedOnBeta((-9.0, 0.0))
    network, _ = make_network(likelihood=likelihood, hidden=hidden, latent_dims=(3, 3), row_values=row_values)
    plain, _ = make_network(likelihood=likelihood, hidden=hidden, latent_dims=(3, 3))
    batch, log_beta = make_batch(network, likelihood), torch.tensor([-1.0, -7.5], dtype=torch.float64)
    row_values.condition(log_beta.unsqueeze(1).expand(-1, N_ROWS))
    network.fold_at(log_beta, plain)
    points = quasi_normal(4, 3).expand(2, -1, -1)
    x, y = batch.rows.inputs, batch.rows.targets["y"]
    torch.testing.assert_close(plain.log_likelihood(x, y, points), network.log_likelihood(x, y, points))


def make_sparse_rows():
    generator = torch.Generator().manual_seed(2)
    dense = torch.rand((N_ROWS, N_FEATURES), generator=generator, dtype=torch.float64)
    dense[dense < 0.6] = 0.0
    dense[3] = 0.0
    csr = dense.numpy()
    offsets = np.concatenate([[0], np.cumsum((csr != 0).sum(1))])
    center = torch.rand(N_FEATURES, generator=generator, dtype=torch.float64)
    rows = SparseRows(torch.from_numpy(offsets), torch.from_numpy(np.nonzero(csr)[1]), dense[dense != 0], center)
    return rows, dense - center


def test_sparse_rows_give_the_gradients_of_their_dense_copy():
    rows, dense = make_sparse_rows()
    network, weights = make_network()
    beta = torch.full((1, 1), 0.3, dtype=torch.float64)
    with torch.no_grad():
        of_dense = loss_terms(network, make_batch(network, x=dense[None]), beta)
        grads = weights.grads.clone()
        of_sparse = loss_terms(network, make_batch(network, x=[rows]), beta)
    torch.testing.assert_close(of_sparse, of_dense)
    torch.testing.assert_close(weights.grads, grads)


def test_sparse_rows_are_selected_as_dense_rows_are():
    rows, dense = make_sparse_rows()
    index = torch.tensor([5, 3, 0, 5])
    weight = torch.eye(N_FEATURES, dtype=torch.float64)
    torch.testing.assert_close(rows.index_select(0, index).product(weight), dense[index])
    assert rows.shape == (N_ROWS, N_FEATURES)


def test_closed_form_rate_is_the_monte_carlo_rate():
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64)
    sigma = 0.2 + torch.rand((1, 4, 3), generator=generator, dtype=torch.float64)
    posterior, prior = Diagonal(mu, sigma), StandardNormal()
    n_draws = 1_000_000
    noise = torch.randn((1, n_draws // 2, 4, 3), generator=generator, dtype=torch.float64)
    noise = torch.cat([noise, -noise], 1)
    code = Code(posterior, noise, posterior.sample(noise))
    log_ratio = 0.5 * (code.z**2 - noise**2) - sigma.log().unsqueeze(1)
    rates = prior.predictive(TORCH, posterior, noise[:, :, 0])
    torch.testing.assert_close(rates, log_ratio.mean(1), atol=1e-3, rtol=0)
    ((paid,), _) = prior.record(code, make_batch(make_network()[0]).rows)
    torch.testing.assert_close(paid, rates.sum(-1))
    torch.testing.assert_close(paid, prior.rate(TORCH, posterior, noise[:, :, 0]))


def test_quasi_random_points_have_the_moments_of_the_normal():
    points = quasi_normal(16, 64)
    assert points.shape == (16, 64)
    torch.testing.assert_close(points.mean(0), torch.zeros(64, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(points.square().mean(0), torch.ones(64, dtype=torch.float64))
    torch.testing.assert_close(points, quasi_normal(16, 64))


def test_no_quasi_random_point_is_the_mean_and_one_is_a_draw():
    assert quasi_normal(0, 5).eq(0).all()
    assert quasi_normal(1, 5).shape == (1, 5)
    assert quasi_normal(1, 5).ne(0).all()
