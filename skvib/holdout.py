"""Which rows are held out: decided x by x, so that no copy of a row judges the training that saw it."""

import numpy as np
from sklearn.model_selection import train_test_split


def held_out_weights(weights, twins, classes, fraction, seed):
    """What each row of a collapsed set gives of its weight to the validation set.

    An x whose labels disagree, of so much weight that its share of a fraction is a row or more, gives that share of
    each label; nothing is drawn. Every other x is held out whole or not at all, so that copies that agree (of a
    bootstrap, of an oversampled class) never judge themselves: the seed draws the fraction of them, stratified by the
    label of most weight. An x without which a class would have no training row stays.

    Parameters
    ----------
    weights : ndarray of shape (n,)
        Summed weights of the distinct rows (x, y), in canonical order: how often each was seen.
    twins : ndarray of int of shape (n,)
        For each row, the first with the same x.
    classes : ndarray of int of shape (n,) or None
        Labels; None for other targets.
    fraction : float in (0, 1)
        Part of the weight that is held out.
    seed : int
        Decides which x are drawn.

    Returns
    -------
    held_out : ndarray of shape (n,) or None
        At most the weights; None if nothing can be held out.
    """
    _, of_x = np.unique(twins, return_inverse=True)
    is_shared = (np.bincount(of_x) > 1) & (fraction * np.bincount(of_x, weights) >= 1.0)
    candidates = np.flatnonzero(~is_shared)
    strata = None
    if classes is not None:
        strata = _main_labels(weights, of_x, classes)
        candidates = candidates[np.bincount(strata[candidates])[strata[candidates]] > 1]
        n_smaller_part = len(candidates) * min(fraction, 1.0 - fraction)
        strata = strata[candidates] if n_smaller_part >= len(np.unique(strata[candidates])) else None
    n_drawn = min(int(np.ceil(fraction * len(candidates))), len(candidates) - 1)
    if n_drawn < 2 and not is_shared.any():
        return None
    is_drawn = np.zeros(len(is_shared), dtype=bool)
    if n_drawn > 0:
        _, drawn = train_test_split(candidates, test_size=n_drawn, random_state=seed, stratify=strata)
        is_drawn[drawn] = True
    if classes is not None:
        _give_back(is_drawn, of_x, classes)
    if not (is_shared | is_drawn).any():
        return None
    return np.where(is_shared[of_x], fraction * weights, np.where(is_drawn[of_x], weights, 0.0))


def held_out_of(rows, twins, target, fraction, seed):
    """The same of WeightedRows with their Target, of which those without a target always train.

    None, too, if the others would not be enough to learn the target from.
    """
    known = rows.own_known
    strata = target.strata(rows.own_targets[known])
    held_out = held_out_weights(rows.weights[known], twins[known], strata, fraction, seed)
    if held_out is None:
        return None
    of_all = np.zeros(len(rows))
    of_all[known] = held_out
    is_enough = target.is_learned_by(rows.own_targets[known & (rows.weights > of_all)])
    return of_all if is_enough else None


def _main_labels(weights, of_x, classes):
    """The label of most weight of each x; of equal ones the first."""
    order = np.lexsort((classes, -weights, of_x))
    _, starts = np.unique(of_x[order], return_index=True)
    return classes[order[starts]]


def _give_back(is_drawn, of_x, classes):
    """Let one x of each class train that would have no training row."""
    for label in np.setdiff1d(classes, classes[~is_drawn[of_x]]):
        holders = of_x[classes == label]
        if is_drawn[holders].all():
            is_drawn[holders.min()] = False
