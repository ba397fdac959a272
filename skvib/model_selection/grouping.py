"""Which problems that wait share a training: with equal settings a stack, and if only beta differs a network."""

import hashlib
import io
from collections import Counter
from dataclasses import fields, replace

import torch
from torch import nn

from skvib.nn.layers import SharedRows, SparseRows
from skvib.nn.problem import Training
from skvib.nn.ramps import Edges
from skvib.nn.trainer import train

N_EVALUATED = 2048  # rows


def train_together(requests):
    """Lists of a Training or an exception for each problem of the requests (method, width, problems, settings)."""
    groups, n_watched = {}, Counter()
    asked = [(i, k, *request) for i, request in enumerate(requests) for k in range(len(request[2]))]
    for i, k, method, width, problems, settings in asked:
        problem = problems[k]
        alone = method == "exact" or problem.start is not None or len(problem.betas) > 1 or 0.0 in problem.betas
        shared = (i, k) if alone else (width, settings, all_but_beta(problem))
        # a network that is watched has one monitor for each beta
        n_watched[shared, problem.betas] += bool(problem.monitors)
        key = shared, problem.monitors and n_watched[shared, problem.betas]
        groups.setdefault(key, (width, settings, {}))[-1][i, k] = problem
    answers = [[None] * len(problems) for _, _, problems, _ in requests]
    for (width, settings), batch in _by_settings(groups.values()).items():
        trainings = _train_or_fail([_merged(list(group.values())) for group in batch], settings, width)
        for group, training in zip(batch, trainings, strict=True):
            for (i, k), problem in group.items():
                shared = len(group) > 1 and isinstance(training, Training)
                answers[i][k] = training.at(problem.betas[0]) if shared else training
    return answers


def _by_settings(groups):
    """Lists of {index: problem} that can be handed to one call of `train`, by (width, settings).

    Equal problems are one network if their seed was chosen; else each has a network of its own.
    """
    batches = {}
    for width, settings, group in groups:
        is_one = len({problem.betas for problem in group.values()}) > 1 or not any(p.any_seed for p in group.values())
        parts = [group] if is_one else [{index: problem} for index, problem in group.items()]
        batches.setdefault((width, settings), []).extend(parts)
    return batches


def _merged(problems):
    """One problem for all betas of a group; what each of several fits makes of its training rows is estimated."""
    if len({problem.betas for problem in problems}) == 1:
        return problems[0]
    watched = {problem.betas[0]: problem.monitors for problem in problems}
    betas = tuple(sorted(watched))
    monitors = tuple(watched[beta][0] for beta in betas) if all(watched.values()) else ()
    return replace(problems[0], betas=betas, monitors=monitors, n_evaluated=N_EVALUATED)


def _train_or_fail(problems, settings, width):
    """A Training or an exception for each problem.

    If the stack fails, each is trained alone and unwatched (its monitors saw the epochs before), and the guilty one
    gets its exception.
    """
    try:
        return train(problems, settings, width)
    except Exception as error:
        if len(problems) == 1:
            return [error]
    return [_train_or_fail([replace(problem, monitors=())], settings, width)[0] for problem in problems]


def stored_once(problem, stored):
    """A problem the parts of whose rows are the same objects wherever their values are equal."""
    sets = {"rows": problem.rows, "validation": problem.validation}
    sets = {name: rows and rows.map(lambda part: _interned(part, stored)) for name, rows in sets.items()}
    edges = problem.edges and Edges(problem.edges.columns, *(_interned(part, stored) for part in problem.edges[1:]))
    return replace(problem, edges=edges, **sets)


def _interned(part, stored):
    if isinstance(part, SharedRows):
        return SharedRows(_interned(part.whole, stored), _interned(part.index, stored))
    tensors = list(vars(part).values()) if isinstance(part, SparseRows) else [part]
    digest = hashlib.blake2b()
    for tensor in tensors:
        digest.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.contiguous().numpy().data)
    return stored.setdefault(digest.digest(), part)


def all_but_beta(problem):
    """What two problems share that differ in beta alone (and in who watches them); their rows are stored once."""
    seed = None if problem.any_seed else problem.seed
    shared = replace(problem, betas=(), monitors=(), seed=seed)
    return tuple(_identity(getattr(shared, field.name)) for field in fields(shared))


def _identity(value):
    """Something hashable that equals that of an equal value."""
    if isinstance(value, tuple):
        return tuple(_identity(part) for part in value)
    if isinstance(value, dict):
        return tuple((key, _identity(part)) for key, part in value.items())
    if isinstance(value, torch.Tensor | SparseRows):
        return id(value)
    if isinstance(value, SharedRows):
        return id(value.whole), id(value.index)
    return _content(value) if isinstance(value, nn.Module) else value


def _content(module):
    """The module as bytes, or its identity if it cannot be written."""
    stream = io.BytesIO()
    try:
        torch.save(module, stream)
    except Exception:
        return id(module)
    return stream.getvalue()
