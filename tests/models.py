"""The networks of the tests, in three sizes; a test adds how long it trains, and what it is about."""

from contextlib import contextmanager

import numpy as np
import torch

from skvib.base import train_problems

TINY = {"hidden_layer_sizes": (8,), "latent_dim": 2, "random_state": 0}
SMALL = {"hidden_layer_sizes": (16,), "latent_dim": 3, "random_state": 0}
MEDIUM = {"hidden_layer_sizes": (32,), "latent_dim": 4, "random_state": 0}
# as many steps as there are, and the weights of the last one
PLAIN = {"early_stopping": False, "ema_decay": 0.0}
# for a few epochs
QUICK = {"learning_rate_init": 1e-2}


def weights_of(model):
    """All weights of a fitted estimator, side by side."""
    return np.concatenate([parameter.numpy().ravel() for parameter in model.network_.parameters()])


@contextmanager
def asked():
    """The problems that fits ask to be trained, in order."""
    problems, train = [], train_problems.get()

    def recording(several, settings):
        problems.extend(several)
        return train(several, settings)

    token = train_problems.set(recording)
    try:
        yield problems
    finally:
        train_problems.reset(token)


def inputs_of(problem):
    """Its standardised rows as an array, each column sorted: their order means nothing."""
    inputs = problem.rows.inputs
    rows = inputs if isinstance(inputs, torch.Tensor) else inputs.product(torch.eye(inputs.shape[1]))
    return np.sort(rows.numpy(), axis=0)


class Callback:
    """A callback of scikit-learn that is silent; `on_fit_task_end` is for its subclasses."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass


class FailsInAnEpoch(Callback):
    """A callback that breaks."""

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            raise LookupError("broken callback")
