"""Downstairs: tensors, networks, objective and training loop. Knows nothing of scikit-learn."""

import os
from functools import partial

import torch

if hasattr(os, "register_at_fork"):
    # the threads of torch's OpenMP pool do not survive a fork, and a child that counted on them would wait forever
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
