"""skvib: the Variational Information Bottleneck for scikit-learn."""

from skvib.bounds import Estimate
from skvib.classifier import VIBClassifier
from skvib.displays import (
    BetaPathDisplay,
    FeatureInformationDisplay,
    InformationPlaneDisplay,
    LatentDisplay,
    LatentRatesDisplay,
    TrainingCurveDisplay,
)
from skvib.information import (
    FeatureInformation,
    InformationPlane,
    LatentInformation,
    MutualInformation,
    feature_information,
    gaussian_limit,
    information_plane,
    latent_information,
    mutual_information,
)
from skvib.path import BetaPath, beta_path
from skvib.regressor import VIBRegressor
from skvib.search import BetaSearchCV, one_standard_error
from skvib.together import fit_together
from skvib.uncertainty import calibration_error, outlier_scores

__all__ = [
    "BetaPath",
    "BetaPathDisplay",
    "BetaSearchCV",
    "Estimate",
    "FeatureInformation",
    "FeatureInformationDisplay",
    "InformationPlane",
    "InformationPlaneDisplay",
    "LatentDisplay",
    "LatentInformation",
    "LatentRatesDisplay",
    "MutualInformation",
    "TrainingCurveDisplay",
    "VIBClassifier",
    "VIBRegressor",
    "beta_path",
    "calibration_error",
    "feature_information",
    "fit_together",
    "gaussian_limit",
    "information_plane",
    "latent_information",
    "mutual_information",
    "one_standard_error",
    "outlier_scores",
]
__version__ = "0.1.0"
