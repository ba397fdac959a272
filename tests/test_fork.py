"""A child of a fork predicts and fits, and the parent keeps its threads."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
import signal
import warnings
import numpy as np
import torch
from skvib import VIBClassifier, VIBRegressor

warnings.simplefilter("ignore")
torch.set_num_threads(2)
rng = np.random.default_rng(0)
X, y = rng.normal(size=(3000, 50)), rng.integers(2, size=3000)
options = {{"max_iter": 3, "random_state": 0, "encoder": {encoder}}}
model = VIBClassifier(**options).fit(X, y)
before = model.predict_proba(X)
child = os.fork()
if child == 0:
    signal.alarm(60)
    assert np.allclose(model.predict_proba(X), before, atol=1e-5)
    assert np.isfinite(VIBClassifier(**options).fit(X, y).predict_proba(X)).all()
    assert np.isfinite(VIBRegressor(**options).fit(X, X[:, 0]).predict(X)).all()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert torch.get_num_threads() == 2
assert (model.predict_proba(X) == before).all()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("encoder", ["None", "torch.nn.Sequential(torch.nn.Linear(50, 256), torch.nn.ReLU())"])
def test_a_forked_child_predicts_and_fits(encoder):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    script = SCRIPT.format(encoder=encoder)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env=environment)
