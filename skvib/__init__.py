"""skvib: the Variational Information Bottleneck for scikit-learn."""

from skvib.classifier import VIBClassifier
from skvib.regressor import VIBRegressor

__all__ = ["VIBClassifier", "VIBRegressor"]
__version__ = "0.1.0"
