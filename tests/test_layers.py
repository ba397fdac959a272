"""The layers of a stack: products, sparse rows, values that depend on beta."""

import pytest
import torch
from scipy import sparse

from skvib.nn.layers import NARROW, ConditionedOnBeta, SparseRows, StackedLinear


@pytest.mark.parametrize("n_out", [1, NARROW.start, NARROW.stop - 1, NARROW.stop])
def test_a_layer_is_the_product_that_it_says_however_wide(n_out):
    generator = torch.Generator().manual_seed(0)
    layer = StackedLinear(3, 5, n_out).double()
    weight, x, grad = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((3, 5, n_out), (3, 7, 5), (3, 7, n_out))
    )
    layer.weight.data.copy_(weight)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with torch.no_grad():
        output, tape = layer.record(x)
        of_inputs = layer.backward(tape, grad)
    torch.testing.assert_close(output, x @ weight)
    torch.testing.assert_close(layer.weight.grad, x.mT @ grad)
    torch.testing.assert_close(layer.bias.grad, grad.sum(1, keepdim=True))
    torch.testing.assert_close(of_inputs, grad @ weight.mT)


def test_sparse_rows_are_rows_minus_their_center():
    generator = torch.Generator().manual_seed(0)
    matrix = sparse.random(8, 6, density=0.3, format="csr", random_state=0)
    center, weight, grad = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((6,), (6, 4), (5, 4))
    )
    parts = (torch.from_numpy(part.astype("int64")) for part in (matrix.indptr, matrix.indices))
    order = torch.tensor([3, 0, 7, 3, 5])
    rows = SparseRows(*parts, torch.from_numpy(matrix.data), center).index_select(0, order)
    dense = torch.from_numpy(matrix.toarray())[order] - center
    out = torch.empty(6, 4, dtype=torch.float64)
    rows.adjoint_product(grad, out)
    torch.testing.assert_close(rows.product(weight), dense @ weight)
    torch.testing.assert_close(out, dense.mT @ grad)


def test_knots_share_one_weight_and_lie_denser_where_a_rate_falls_faster():
    betas = ConditionedOnBeta((-11.0, 0.7))
    log_beta = torch.linspace(-11.0, 0.7, 500, dtype=torch.float64)
    basis = betas.basis(log_beta)
    assert basis.shape == (500, betas.n_values)
    assert (basis >= 0.0).all()
    torch.testing.assert_close(basis.sum(-1), torch.ones(500, dtype=torch.float64))
    nearest = basis.argmax(-1)
    small, large = nearest[log_beta < -6.0].unique(), nearest[(log_beta > -2.0) & (log_beta < 0.0)].unique()
    assert len(large) / 2.0 > 1.5 * len(small) / 5.0
