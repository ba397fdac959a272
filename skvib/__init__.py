"""skvib: the Variational Information Bottleneck for scikit-learn."""

from skvib.classifier import VIBClassifier
from skvib.path import BetaPath, beta_path
from skvib.regressor import VIBRegressor
from skvib.search import BetaSearchCV, one_standard_error
from skvib.together import fit_together

__all__ = [
    "BetaPath",
    "BetaSearchCV",
    "VIBClassifier",
    "VIBRegressor",
    "beta_path",
    "fit_together",
    "one_standard_error",
]
__version__ = "0.1.0"
