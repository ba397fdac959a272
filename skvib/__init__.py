"""skvib: the Variational Information Bottleneck for scikit-learn."""

from skvib.classifier import VIBClassifier
from skvib.regressor import VIBRegressor
from skvib.together import fit_together

__all__ = ["VIBClassifier", "VIBRegressor", "fit_together"]
__version__ = "0.1.0"
