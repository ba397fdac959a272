"""Equal mixtures of normal distributions: their quantiles, and what they tell of their components."""

import math

import numpy as np
import torch

from skvib.nn.network import quasi_normal

MAX_STEPS, EPSILON = 200, float(np.finfo(np.float64).eps)
SHORT_STEP = 1e-5  # of the narrowest component's standard deviation: it leaves about its square to go
INVERSE_ROOT_2, INVERSE_ROOT_2PI = 1.0 / math.sqrt(2.0), 1.0 / math.sqrt(2.0 * math.pi)
N_TARGET_DRAWS = 64


def mixture_information(means, scales, n_groups):
    """I(Y;K) in nats, (n,), where Y is of an equal mixture of normals (S, n, n_outputs), and K says of which group.

    Each group, S / n_groups components that follow one another, is drawn from at the same quasi-random points, whose
    first coordinate says of which component.
    """
    n_components, n_rows, n_outputs = means.shape
    size = n_components // n_groups
    points = quasi_normal(max(N_TARGET_DRAWS, size), 1 + n_outputs)
    members = (torch.special.ndtr(points[:, 0]) * size).long().clamp_max(size - 1).tolist()
    total = means.new_zeros(n_rows)
    for group in range(n_groups):
        for member, point in zip(members, points[:, 1:], strict=True):
            component = group * size + member
            y = means[component] + scales[component] * point
            log_q = (-0.5 * ((y - means) / scales).square() - scales.log()).sum(-1)
            of_groups = torch.logsumexp(log_q.view(n_groups, size, n_rows), 1)
            total += of_groups[group] - torch.logsumexp(of_groups, 0)
    return (total / (n_groups * len(points)) + math.log(n_groups)).clamp_min(0.0)


def mixture_quantiles(means, scales, quantiles):
    """Quantiles (n, n_outputs, Q) of an equal mixture of normals, tensors (S, n, n_outputs), by Newton's method.

    A quantile lies between the smallest and the largest of the components' own. A step that would leave this bracket,
    which every step narrows, or that is over half as long as the one before, halves the bracket instead; what has
    converged is left alone.
    """
    levels = torch.from_numpy(np.array(quantiles, dtype=np.float64)).to(means.dtype)
    shape = (*means.shape[1:], len(levels))
    own = torch.special.ndtri(levels)
    first = torch.addcmul(means[..., None], scales[..., None], own)
    low, high = first.amin(0).flatten(), first.amax(0).flatten()
    spread = (means.var(0, correction=0) + scales.square().mean(0)).sqrt()
    found = (means.mean(0)[..., None] + spread[..., None] * own).flatten().clamp(low, high)
    last_step = high - low
    # the components last, side by side
    means, scales = (part.flatten(1).T.contiguous() for part in (means, scales))
    narrowest = scales.amin(1)
    levels = levels.expand(shape).flatten()
    # the tail beyond a quantile keeps its digits where the mass before it is nearly 1
    side = torch.where(levels < 0.5, -1.0, 1.0).to(levels)
    tail = torch.minimum(levels, 1.0 - levels)
    of_output = torch.arange(len(means), device="cpu").repeat_interleave(shape[-1])
    left = torch.arange(len(found), device="cpu")
    for _ in range(MAX_STEPS):
        x, outputs, sign = found[left], of_output[left], side[left]
        s = scales[outputs]
        errors = (x[:, None] - means[outputs]).div_(s)
        density = (errors * errors).mul_(-0.5).exp_().div_(s).mean(1).mul_(INVERSE_ROOT_2PI)
        beyond = errors.mul_(INVERSE_ROOT_2 * sign[:, None]).erfc_().mean(1).mul_(0.5)
        excess = sign * (tail[left] - beyond)
        below, above = torch.where(excess < 0, x, low[left]), torch.where(excess < 0, high[left], x)
        low[left], high[left] = below, above
        step = x - excess / density
        inside = (step >= below) & (step <= above) & ((step - x).abs() <= 0.5 * last_step[left])
        step = torch.where(inside, step, 0.5 * (below + above))
        found[left], last_step[left] = step, (step - x).abs()
        is_short = inside & (last_step[left] <= SHORT_STEP * narrowest[outputs])
        is_closed = above - below <= 4.0 * EPSILON * torch.maximum(below.abs(), above.abs())
        left = left[~(is_short | is_closed)]
        if not len(left):
            break
    return found.view(shape)
