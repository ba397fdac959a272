"""Twins of VIBClassifier: its network, schedule, averaged weights and validation rows, without noise and rate."""

import copy
import math

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.model_selection import train_test_split
from torch import nn

MIN_ROWS_TO_HOLD_OUT, PATIENCE, CHUNK = 100, 30, 10_000


class Twin(ClassifierMixin, TransformerMixin, BaseEstimator):
    """x -> ReLU layers -> a linear code -> logits, by cross-entropy; the other defaults are those of VIBClassifier.

    `dropout` is that of the hidden layers, `label_smoothing` that of the targets. Training stops after 30 epochs
    without any improvement, where VIBClassifier asks for a step of at least 1e-4.
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 256),
        latent_dim=32,
        dropout=0.0,
        label_smoothing=0.0,
        alpha=3.0,
        learning_rate_init=6e-3,
        batch_size=None,
        max_iter=150,
        ema_decay=0.99,
        early_stopping=True,
        standardize=True,
        random_state=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.latent_dim = latent_dim
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.mean_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        held_out = None
        if self.early_stopping and len(X) >= MIN_ROWS_TO_HOLD_OUT:
            enough = 0.1 * len(X) >= len(self.classes_) and np.bincount(codes).min() > 1
            X, held_out, codes, held_out_codes = train_test_split(
                X, codes, test_size=0.1, stratify=codes if enough else None, random_state=self.random_state
            )
        if self.standardize:
            self.mean_, self.scale_ = X.mean(axis=0), np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1.0)
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            validation = None if held_out is None else (self._inputs(held_out), torch.from_numpy(held_out_codes))
            self._train(self._inputs(X), torch.from_numpy(codes), validation)
        return self

    def _train(self, x, target, validation):
        network = self._network(x.shape[1])
        average, best, best_loss, best_epoch = copy.deepcopy(network), None, math.inf, 0
        weights, averages = list(network.parameters()), list(average.parameters())
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        size = self.batch_size or np.clip(len(x) / 8, 32, 200)
        n_steps = math.ceil(len(x) / size)
        for step in range(self.max_iter * n_steps):
            if step % n_steps == 0:
                batches = torch.randperm(len(x)).tensor_split(n_steps)
            rows = batches[step % n_steps]
            progress = step / (self.max_iter * n_steps)
            optimizer.param_groups[0]["lr"] = self.learning_rate_init * 0.5 * (1 + math.cos(math.pi * progress))
            optimizer.zero_grad()
            self._criterion(network(x[rows]), x[rows], target[rows], self.label_smoothing).backward()
            for weight in weights:
                if weight.ndim > 1:
                    weight.grad.add_(weight.detach(), alpha=self.alpha / len(x))
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1 - min(self.ema_decay, (1 + step) / (10 + step)))
            if validation is not None and (step + 1) % n_steps == 0:
                with torch.no_grad():
                    loss, epoch = self._criterion(average.eval()(validation[0]), *validation), step // n_steps
                if loss < best_loss:
                    best, best_loss, best_epoch = copy.deepcopy(average), loss, epoch
                elif epoch - best_epoch >= PATIENCE:
                    break
        self.network_ = (best or average).eval()

    def _network(self, n_features):
        """Encoder and decoder."""
        encoder = self._layers(n_features, self.hidden_layer_sizes, self.latent_dim)
        return nn.Sequential(encoder, nn.Linear(self.latent_dim, len(self.classes_)))

    def _layers(self, n_in, hidden_layer_sizes, n_out):
        layers = []
        for width in hidden_layer_sizes:
            layers += [nn.Linear(n_in, width), nn.ReLU(), nn.Dropout(self.dropout)]
            nn.init.kaiming_uniform_(layers[-3].weight, nonlinearity="relu")
            nn.init.zeros_(layers[-3].bias)
            n_in = width
        return nn.Sequential(*layers, nn.Linear(n_in, n_out))

    def _criterion(self, output, x, target, label_smoothing=0.0):
        return nn.functional.cross_entropy(output, target, label_smoothing=label_smoothing)

    def _inputs(self, X):
        return torch.from_numpy(((X - self.mean_) / self.scale_).astype(np.float32))

    @torch.no_grad()
    def _map(self, network, X):
        network.eval()
        return torch.cat([network(self._inputs(rows)) for rows in np.array_split(X, math.ceil(len(X) / CHUNK))])

    def logits(self, X):
        return self._map(self.network_, X)

    def transform(self, X):
        """The code of each row."""
        return self._map(self.network_[0], X).numpy()

    def predict_proba(self, X):
        return torch.softmax(self.logits(X).double(), dim=1).numpy()

    def predict(self, X):
        return self.classes_[self.logits(X).argmax(dim=1).numpy()]


class Autoencoder(Twin):
    """The twin that reconstructs its standardised inputs from the code."""

    def _network(self, n_features):
        encoder = self._layers(n_features, self.hidden_layer_sizes, self.latent_dim)
        return nn.Sequential(encoder, self._layers(self.latent_dim, self.hidden_layer_sizes[::-1], n_features))

    def _criterion(self, output, x, target, label_smoothing=0.0):
        return nn.functional.mse_loss(output, x)
