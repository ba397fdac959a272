"""What a bottleneck keeps, drawn by matplotlib, in scikit-learn's convention: `from_...` measures, `plot` draws."""

from skvib.displays.features import FeatureInformationDisplay
from skvib.displays.latent import LatentDisplay, LatentRatesDisplay
from skvib.displays.path import BetaPathDisplay
from skvib.displays.plane import InformationPlaneDisplay
from skvib.displays.training import TrainingCurveDisplay

__all__ = [
    "BetaPathDisplay",
    "FeatureInformationDisplay",
    "InformationPlaneDisplay",
    "LatentDisplay",
    "LatentRatesDisplay",
    "TrainingCurveDisplay",
]
