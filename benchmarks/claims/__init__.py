"""The claims, a module for each subject."""

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.claim import Claim


def listed():
    """All claims; a process that needs one of them does not import the others."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Claim)]
