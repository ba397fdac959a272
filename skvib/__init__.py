"""skvib: the Variational Information Bottleneck for scikit-learn."""

import sys

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
    Estimate,
    FeatureInformation,
    InformationPlane,
    LatentInformation,
    MutualInformation,
    NuisanceInformation,
    calibration_error,
    discrete_limit,
    estimates,
    feature_information,
    gaussian_limit,
    information_plane,
    latent_information,
    mutual_information,
    nuisance_information,
    outlier_scores,
)
from skvib.model_selection import (
    BetaPath,
    BetaSearchCV,
    beta_path,
    fit_together,
    one_standard_error,
    path,
    search,
)
from skvib.regressor import VIBRegressor

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
    "NuisanceInformation",
    "TrainingCurveDisplay",
    "VIBClassifier",
    "VIBRegressor",
    "beta_path",
    "calibration_error",
    "discrete_limit",
    "feature_information",
    "fit_together",
    "gaussian_limit",
    "information_plane",
    "latent_information",
    "mutual_information",
    "nuisance_information",
    "one_standard_error",
    "outlier_scores",
]
__version__ = "0.1.0"

# where searches, paths and estimates that 0.1 has pickled look for their classes
sys.modules |= {"skvib.search": search, "skvib.path": path, "skvib.bounds": estimates}
del sys, search, path, estimates
