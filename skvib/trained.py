"""TrainedVIB: from the trainings of networks to fitted attributes, those of a network or of an ensemble."""

from __future__ import annotations

import copy

import numpy as np
import torch

from skvib.fitted import FittedVIB
from skvib.nn.encoders import set_buffers
from skvib.nn.evaluation import joint_distortion
from skvib.nn.priors import RATE, RESIDUAL_RATE
from skvib.nn.problem import State
from skvib.nn.progress import mean_histories
from skvib.nn.rows import TARGET
from skvib.specification import encoder_of

SEEDS_APART = 0x10001  # those of the networks of an ensemble
# what each network of an ensemble has learned for itself
OWN = (
    *("_encoder", "_weights", "_layout", "_optimizer", "_n_steps", "_n_epochs", "_no_improvement_count"),
    *("_n_features_out", "n_iter_", "history_", "latent_rates_", "rate_", "residual_rate_", "distortion_"),
)


class TrainedVIB(FittedVIB):
    """The part of an estimator that takes what the trainer returns."""

    @property
    def _is_trained(self):
        return hasattr(self, "_weights") or bool(self._members)

    def _new_members(self, continues):
        """Estimators that take what each network learns: itself or, of an ensemble, copies of itself."""
        if self.n_estimators == 1:
            return [self]
        members = [copy.copy(self) for _ in range(self.n_estimators)]
        for k, member in enumerate(members):
            member.n_estimators, member._members, member._seed = 1, (), self._seed_of(k)
            member._shaped_by = {**self._shaped_by, "n_estimators": 1}
            if continues:
                own = vars(self._members[k])
                vars(member).update({name: own[name] for name in OWN if name in own})
            elif k:
                member._encoder = encoder_of(self, member._seed, self._x_mean.shape)
        return members

    def _seed_of(self, member):
        """That of a network of an ensemble; the first has the estimator's own."""
        return (self._seed + member * SEEDS_APART) % 2**31

    def _state(self):
        arrays = self._optimizer or (np.zeros_like(self._weights),) * 2
        tensors = (torch.from_numpy(array.copy()) for array in (self._weights, *arrays))
        return State(*tensors, self._layout, {}, self._n_steps, self._n_epochs)

    def _take(self, members, trainings, problem, continues=False, keeps_state=False):
        """Turn what the trainer returns into fitted attributes, its own or those of the members of an ensemble."""
        for member, training in zip(members, trainings, strict=True):
            member._take_training(training, continues, keeps_state)
        self._members = [] if members == [self] else members
        if self._members:
            self._join(problem)
        self._assert_dtypes()

    def _join(self, problem):
        """What an ensemble is: one code, side by side, and a decoder that averages what its members say.

        Its histories are their means, since each of them trains for itself. `problem` is that of the first of them.
        """
        for name in OWN:
            vars(self).pop(name, None)
        self._encoder, self._n_epochs = self._members[0]._encoder, max(one._n_epochs for one in self._members)
        self.n_iter_ = max(one.n_iter_ for one in self._members)
        self.history_ = mean_histories([one.history_ for one in self._members])
        self.latent_rates_ = np.concatenate([one.latent_rates_ for one in self._members])
        self._n_features_out = len(self.latent_rates_)
        self.rate_ = sum(one.rate_ for one in self._members)
        if hasattr(self._members[0], "residual_rate_"):
            self.residual_rate_ = sum(one.residual_rate_ for one in self._members)
        with torch.no_grad():
            distortion = joint_distortion(self._trained_network(), problem, self.n_predict_draws)
        self.distortion_ = distortion + self._target.units

    def _take_training(self, training, continues, keeps_state):
        state, (fit,) = training.state, training.fits
        self._weights, self._layout = fit.weights.numpy(), fit.layout
        if fit.buffers:
            self._encoder = copy.deepcopy(self._encoder)
            set_buffers(self._encoder, fit.buffers)
        moments = state.mean_gradient.numpy(), state.mean_square.numpy()
        self._optimizer = moments if keeps_state else None
        self._n_steps, self._n_epochs = (state.n_steps if keeps_state else 0), state.n_epochs
        self._no_improvement_count = training.n_no_change
        self.n_iter_ = training.n_epochs
        self._set_history(fit.history, self.history_ if continues else None)
        self.latent_rates_ = fit.latent_rates.numpy().astype(np.float64)
        is_sum = self.latent_prior == "normal"
        self.rate_ = float(self.latent_rates_.sum()) if is_sum else fit.rates[RATE]
        vars(self).pop("residual_rate_", None)
        if RESIDUAL_RATE in fit.rates:
            self.residual_rate_ = fit.rates[RESIDUAL_RATE]
        self.distortion_ = fit.distortions[TARGET] + self._target.units

    def _set_history(self, history, before):
        signs = {"loss": 1.0, "distortion": 1.0, "validation_log_likelihood": -1.0}
        units = self._target.units
        self.history_ = {}
        for name in {**(before or {}), **history}:
            values = np.array(history.get(name, ()), dtype=np.float64) + signs.get(name, 0.0) * units
            self.history_[name] = np.concatenate([before[name], values]) if name in (before or ()) else values
