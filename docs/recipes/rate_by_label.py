"""A measure: how many nats the code carries about the rows of each label."""

import numpy as np

from skvib.information.estimates import weighted_mean
from skvib.information.sample import Sample


def rate_by_label(estimator, X, y, *, sample_weight=None):
    """The mean rate of each label's rows, {label: Estimate}, nats; also of a Pipeline or a search."""
    sample = Sample(estimator, X, y, sample_weight, random_state=0)
    rates = np.concatenate([sample.vib.rate_samples(some) for _, some in sample.chunks()])
    own_rows = {label: sample.y == label for label in np.unique(sample.y)}
    return {label: weighted_mean(rates[own], sample.shares[own]) for label, own in own_rows.items()}
