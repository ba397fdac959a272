"""What to write instead of a parameter that is not there."""

import difflib
import inspect

_ADAM = "training always uses Adam; remove it"
_MOMENTS = "Adam's moments are fixed at .9 and .99; beta is the price of information"
# of MLPClassifier, and of other libraries
_INSTEAD = {
    "solver": _ADAM,
    "optimizer": _ADAM,
    "momentum": _ADAM,
    "nesterovs_momentum": _ADAM,
    "beta_1": _MOMENTS,
    "beta_2": _MOMENTS,
    "epsilon": "Adam's epsilon is fixed at 1e-8; remove it",
    "power_t": "pass a callable as learning_rate",
    "shuffle": "rows are drawn in an order that random_state decides; remove it",
    "max_fun": "there is no L-BFGS solver; use max_iter",
    "loss": "VIBClassifier's loss follows from y; VIBRegressor has noise=",
    "beta_warmup": "no training needed it; remove it, and lower beta or raise max_iter if the code collapses",
    "dropout": "the bottleneck's own noise regularises; use beta, its price, or alpha",
}
_SYNONYMS = {
    "max_iter": ("epochs", "n_epochs", "num_epochs", "max_epochs", "n_iter"),
    "learning_rate_init": ("lr",),
    "latent_dim": ("n_components", "z_dim", "code_size", "bottleneck_dim", "n_latent"),
    "hidden_layer_sizes": ("hidden_sizes", "hidden_dims", "layers", "hidden_units"),
    "alpha": ("weight_decay", "l2", "C"),
    "random_state": ("seed",),
    "n_iter_no_change": ("patience",),
    "n_predict_draws": ("n_draws", "n_samples"),
    "validation_fraction": ("val_size", "validation_split"),
    "n_bins": ("max_bins", "n_quantiles"),
    "categorical_features": ("cat_features", "cat_cols", "categorical_columns"),
}
_NAME_OF = {synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms}


def refuse_unknown(cls, names):
    """Raise a TypeError that says what to do if `cls` has no parameter of one of these names."""
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            raise TypeError(f"{cls.__name__} has no parameter {name!r}: {_instead_of(name, list(parameters))}.")


def _instead_of(name, known):
    if name in _INSTEAD:
        return _INSTEAD[name]
    near = [_NAME_OF[name]] if name in _NAME_OF else difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}" if near else f"it has {', '.join(known)}"
