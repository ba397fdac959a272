"""What a code keeps, in nats: everything here asks fitted estimators through their public methods alone."""

from skvib.information.by_dimension import LatentInformation, latent_information
from skvib.information.by_feature import FeatureInformation, feature_information
from skvib.information.discrete import discrete_limit
from skvib.information.estimates import Estimate
from skvib.information.gaussian import gaussian_limit
from skvib.information.mutual import MutualInformation, mutual_information
from skvib.information.nuisance import NuisanceInformation, nuisance_information
from skvib.information.plane import InformationPlane, information_plane
from skvib.information.uncertainty import calibration_error, outlier_scores

__all__ = [
    "Estimate",
    "FeatureInformation",
    "InformationPlane",
    "LatentInformation",
    "MutualInformation",
    "NuisanceInformation",
    "calibration_error",
    "discrete_limit",
    "feature_information",
    "gaussian_limit",
    "information_plane",
    "latent_information",
    "mutual_information",
    "nuisance_information",
    "outlier_scores",
]
