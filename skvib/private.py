"""What skvib takes of scikit-learn that is not public; no other file does."""

from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

from skvib.typing import Method

__all__ = ["Interval", "Options", "StrOptions", "check_sample_weight", "fit_context"]


def fit_context(method: Method) -> Method:
    """A `fit` that checks the parameters before."""
    return _fit_context(prefer_skip_nested_validation=True)(method)
