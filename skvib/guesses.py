"""What guesses of the labels that some rows lack are worth."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skvib.nn.progress import VALIDATION
from skvib.nn.rows import TARGET

GUESS = 0.5  # weight of the loss of guessing; chosen on digits, letters, vehicles and overlapping classes
POWER = 5  # of the trust: what a row whose label is guessed counts in alpha
N_FOLDS, BETA = 5, 3e-3
MISSED = 0.1  # of H(Y)
SURE, SURE_OF_FEW, FEW = 0.8, 0.5, 20  # labels a class


def trust_in_guesses(estimator, labelled, device):
    """The share of H(Y) that networks of a part of the labelled WeightedRows find out about the others, in [0, 1].

    Where classes overlap it is small, and guesses of the labels that rows lack would be wrong and sure.
    """
    rows, entropy = labelled, estimator._target.entropy(labelled.own_targets, labelled.weights)
    folds = _folds(rows.own_targets, estimator._seed)
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    if len(splits) < 2 or not entropy:
        return 0.0
    parts = [tuple(rows.at(part, rows.weights[part]) for part in split) for split in splits]
    settings = replace(estimator._settings(device, rows, rows, incremental=False), stop_on="validation", silences=False)
    problems = estimator._problems([estimator] * len(parts), parts, False, None)
    # at one beta, whatever the estimator's: fits that differ in beta alone trust alike
    trainings = estimator._trained([replace(problem, betas=(BETA,)) for problem in problems], settings)
    if any(training.reason == "interrupted" for training in trainings):
        raise KeyboardInterrupt
    curves = [training.fits[0].history[VALIDATION] for training in trainings]
    n_epochs = max(map(len, curves))
    curves = [curve + curve[-1:] * (n_epochs - len(curve)) for curve in curves]
    of_epochs = np.average(curves, axis=0, weights=[held_out.weights.sum() for _, held_out in parts])
    return float(np.clip(np.nan_to_num(1.0 + of_epochs.max() / entropy), 0.0, 1.0))


def needs_no_judge(estimator, rows):
    """Whether guesses keep a network from learning labels by heart, so that no row is held out.

    Most rows have to lack a label, and guesses be sure. Few held-out labels often choose a worse epoch than the last.
    """
    n_known = rows.own_known.sum()
    sure = SURE if n_known >= FEW * estimator._target.n_alternatives else SURE_OF_FEW
    return estimator._trust > sure and 2 * n_known < len(rows)


def is_less_than_trusted(estimator, trainings, rows):
    """Whether labels were learned less well than networks of labelled rows alone predict them, and say so.

    Few labels cannot bear the penalty and the price of all rows; the labelled rows alone can, in their short training.
    """
    rows = rows.labelled()
    entropy = estimator._target.entropy(rows.own_targets, rows.weights)
    distortion = np.mean([training.fits[0].distortions[TARGET] for training in trainings])
    is_done = all(training.reason in ("max_iter", "converged") for training in trainings)
    is_less = is_done and distortion > (1.0 - estimator._trust + MISSED) * entropy
    if is_less:
        warnings.warn(
            "Rows without a label kept the network from learning the labels of the others, so it was trained on the "
            "labelled rows alone. Label more rows, or lower alpha.",
            ConvergenceWarning,
            stacklevel=5,
        )
    return is_less


def _folds(labels, seed):
    """The fold of each row, each class spread over all of them."""
    order = np.lexsort((np.random.default_rng(seed).permutation(len(labels)), labels))
    folds = np.empty(len(labels), dtype=int)
    folds[order] = np.arange(len(labels)) % N_FOLDS
    return folds
