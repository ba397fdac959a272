"""What type checkers are told of all that a user can call."""

import inspect
from pathlib import Path

import pytest

import skvib


def function_of(member):
    """The function inside a method, a property or a decorator."""
    return inspect.unwrap(getattr(member, "fget", getattr(member, "__func__", member)))


def own_functions(cls):
    """(name, function) of what is public in a class and the parents that skvib defines."""
    for part in cls.__mro__:
        for name, member in vars(part).items():
            function = function_of(member)
            is_own = inspect.isfunction(function) and function.__module__.startswith("skvib.")
            if is_own and (name == "__init__" or name[0] != "_"):
                yield f"{part.__name__}.{name}", function


PUBLIC = {name: getattr(skvib, name) for name in skvib.__all__}
CLASSES = {name: thing for name, thing in PUBLIC.items() if inspect.isclass(thing)}
FUNCTIONS = {name: function_of(thing) for name, thing in PUBLIC.items() if name not in CLASSES}
FUNCTIONS |= {name: function for cls in CLASSES.values() for name, function in own_functions(cls)}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_parameter_and_every_result_has_a_type(name):
    signature = inspect.signature(FUNCTIONS[name])
    parameters = [part for part in signature.parameters.values() if part.name not in ("self", "cls")]
    assert not [part.name for part in parameters if part.annotation is part.empty]
    assert signature.return_annotation is not signature.empty


def test_methods_properties_and_decorated_functions_are_among_them():
    inherited = {"BaseVIB.fit", "FittedVIB.transform", "FittedVIB.loss_", "VIBClassifier.__init__"}
    others = {"BetaSearchCV.predict", "LatentDisplay.from_estimator", "MutualInformation.__init__", "fit_together"}
    assert inherited | others <= set(FUNCTIONS)


def test_the_package_says_that_it_has_types():
    assert (Path(skvib.__file__).parent / "py.typed").is_file()
