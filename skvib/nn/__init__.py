"""Downstairs: tensors, networks, objective and training loop. Knows nothing of scikit-learn."""
