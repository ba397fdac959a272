"""Choosing beta: searches and paths, and what trains together what is asked for together."""

from skvib.model_selection.choice import one_standard_error
from skvib.model_selection.path import BetaPath, beta_path
from skvib.model_selection.search import BetaSearchCV
from skvib.model_selection.together import fit_together

__all__ = ["BetaPath", "BetaSearchCV", "beta_path", "fit_together", "one_standard_error"]
