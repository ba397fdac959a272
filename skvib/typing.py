"""Types that the signatures upstairs share."""

from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

from numpy.typing import ArrayLike
from scipy import sparse

MatrixLike: TypeAlias = ArrayLike | sparse.spmatrix | sparse.sparray
Unit: TypeAlias = Literal["nats", "bits"]
Method = TypeVar("Method", bound=Callable)  # what a decorator takes, and returns as it was
