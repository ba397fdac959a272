"""The import direction of the house."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skvib

ROOT = Path(skvib.__file__).parent
ALLOWED = {
    "__init__": {"classifier", "displays", "information", "model_selection", "regressor"},
    "classifier": {"base", "private", "containers", "targets", "typing", "unlabelled"},
    "regressor": {"base", "mixtures", "private", "targets", "typing", "unlabelled"},
    "mixtures": {"nn.network"},
    "model_selection.__init__": {
        "model_selection.choice",
        "model_selection.path",
        "model_selection.search",
        "model_selection.together",
    },
    "model_selection.search": {
        "base",
        "model_selection.choice",
        "model_selection.together",
        "monitor",
        "nn.network",
        "nn.problem",
        "private",
        "containers",
        "typing",
        "unlabelled",
        "wrapped",
    },
    "model_selection.path": {
        "base",
        "information.estimates",
        "information.mutual",
        "model_selection.variants",
        "monitor",
        "nn.problem",
        "nn.rows",
        "nn.trainer",
        "containers",
        "typing",
        "unlabelled",
        "wrapped",
    },
    "model_selection.choice": {"wrapped"},
    "model_selection.variants": {"base"},
    "model_selection.together": {"base", "model_selection.grouping", "nn.problem", "nn.trainer"},
    "model_selection.grouping": {"nn.layers", "nn.problem", "nn.ramps", "nn.trainer"},
    "displays.__init__": {f"displays.{name}" for name in ("features", "latent", "path", "plane", "training")},
    "displays.features": {"displays.style", "information.by_feature", "typing"},
    "displays.latent": {
        "displays.style",
        "information.by_dimension",
        "information.estimates",
        "containers",
        "typing",
        "wrapped",
    },
    "displays.path": {"displays.style", "information.estimates", "typing", "wrapped"},
    "displays.plane": {"displays.style", "information.estimates", "information.plane", "typing", "wrapped"},
    "displays.training": {"displays.style", "wrapped"},
    "displays.style": set(),
    "information.__init__": {
        f"information.{name}"
        for name in (
            "by_dimension",
            "by_feature",
            "discrete",
            "estimates",
            "gaussian",
            "mutual",
            "nuisance",
            "plane",
            "uncertainty",
        )
    },
    "information.plane": {"information.estimates", "information.mutual", "typing", "wrapped"},
    "information.mutual": {"information.bounds", "information.estimates", "information.sample", "typing"},
    "information.nuisance": {
        "information.bounds",
        "information.estimates",
        "information.sample",
        "nuisances",
        "containers",
        "typing",
    },
    "information.by_dimension": {"information.bounds", "information.estimates", "information.sample", "typing"},
    "information.by_feature": {
        "information.bounds",
        "information.estimates",
        "information.sample",
        "containers",
        "typing",
    },
    "information.uncertainty": {"information.bounds", "information.estimates", "typing", "wrapped"},
    "information.bounds": {"information.estimates"},
    "information.sample": {"information.estimates", "containers", "unlabelled", "wrapped"},
    "information.estimates": set(),
    "information.discrete": {"information.gaussian"},
    "information.gaussian": set(),
    "wrapped": {"monitor"},
    "containers": set(),
    "nuisances": {"containers"},
    "base": {
        "checks",
        "guesses",
        "hints",
        "holdout",
        "monitor",
        "nn.problem",
        "nn.trainer",
        "nuisances",
        "private",
        "reading",
        "rows",
        "specification",
        "trained",
        "typing",
        "unlabelled",
    },
    "trained": {
        "fitted",
        "nn.encoders",
        "nn.evaluation",
        "nn.priors",
        "nn.problem",
        "nn.progress",
        "nn.rows",
        "specification",
    },
    "fitted": {
        "nn.network",
        "nn.operations",
        "nn.problem",
        "nn.ramps",
        "nn.weights",
        "reading",
        "typing",
        "unlabelled",
    },
    "specification": {
        "checks",
        "nn.convolutions",
        "nn.encoders",
        "nn.layers",
        "nn.network",
        "nn.prices",
        "nn.priors",
        "nn.problem",
        "private",
    },
    "reading": {"checks", "frames", "nn.layers", "nn.rows", "private", "containers", "rows", "unlabelled"},
    "targets": {"checks", "rows"},
    "frames": {"containers"},
    "checks": set(),
    "private": {"typing"},
    "hints": set(),
    "holdout": set(),
    "unlabelled": {"containers"},
    "guesses": {"nn.progress", "nn.rows"},
    "monitor": {"typing"},
    "rows": set(),
    "typing": set(),
    "nn.__init__": set(),
    "nn.trainer": {
        "nn.batches",
        "nn.betas",
        "nn.evaluation",
        "nn.objective",
        "nn.optimizer",
        "nn.posteriors",
        "nn.problem",
        "nn.progress",
        "nn.stack",
        "nn.stopping",
    },
    "nn.stopping": {"nn.problem", "nn.progress", "nn.stack"},
    "nn.optimizer": {"nn.batches", "nn.problem", "nn.rows", "nn.stack"},
    "nn.stack": {"nn.betas", "nn.layers", "nn.network", "nn.problem", "nn.progress", "nn.weights"},
    "nn.evaluation": {
        "nn.batches",
        "nn.heads",
        "nn.network",
        "nn.operations",
        "nn.posteriors",
        "nn.problem",
        "nn.rows",
    },
    "nn.batches": {"nn.betas", "nn.layers", "nn.problem", "nn.rows"},
    "nn.betas": {"nn.layers", "nn.network", "nn.weights"},
    "nn.progress": {"nn.prices", "nn.problem"},
    "nn.problem": {"nn.layers", "nn.network", "nn.ramps", "nn.rows", "nn.weights"},
    "nn.objective": {"nn.network", "nn.posteriors", "nn.rows"},
    "nn.weights": {"nn.network", "nn.parts"},
    "nn.network": {
        "nn.bottleneck",
        "nn.encoders",
        "nn.heads",
        "nn.layers",
        "nn.likelihoods",
        "nn.nuisances",
        "nn.operations",
        "nn.parts",
        "nn.posteriors",
        "nn.prices",
        "nn.priors",
        "nn.ramps",
        "nn.rows",
    },
    "nn.heads": {"nn.layers", "nn.likelihoods", "nn.operations", "nn.parts", "nn.posteriors", "nn.rows"},
    "nn.nuisances": {"nn.layers", "nn.operations", "nn.parts", "nn.posteriors", "nn.priors", "nn.rows"},
    "nn.priors": {"nn.layers", "nn.operations", "nn.parts", "nn.posteriors", "nn.rows"},
    "nn.prices": set(),
    "nn.posteriors": set(),
    "nn.encoders": {"nn.layers", "nn.operations", "nn.parts"},
    "nn.bottleneck": {"nn.layers", "nn.operations", "nn.parts", "nn.posteriors"},
    "nn.likelihoods": {"nn.layers", "nn.operations", "nn.parts"},
    "nn.layers": {"nn.operations", "nn.parts"},
    "nn.rows": {"nn.layers"},
    "nn.ramps": {"nn.operations", "nn.parts"},
    "nn.convolutions": set(),
    "nn.operations": set(),
    "nn.parts": set(),
}
# what a folder may ask of another; "" is skvib itself
FOLDERS = {
    "": {"displays", "information", "model_selection", "nn"},
    "displays": {"", "information"},
    "model_selection": {"", "information", "nn"},
    "information": {""},
    "nn": set(),
}
# what a file names in annotations alone, where only type checkers read it
FOR_TYPES = {name: {"model_selection.path"} for name in ("displays.path", "displays.plane", "information.plane")}
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}


def imported(path, for_types=(False, True)):
    """(module, names) of every import in a file, wherever it stands; `for_types` are those of type checkers alone."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    blocks = [node for node in nodes if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    never_run = {node for block in blocks for node in ast.walk(block)}
    for node in nodes:
        if (node in never_run) not in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, tuple(alias.name for alias in node.names)


def own_imports(name, for_types=(False,)):
    modules = [module for module, _ in imported(FILES[name], for_types)]
    return {module.removeprefix("skvib.") for module in modules if module.split(".")[0] == "skvib"}


def folder_of(name):
    """The folder of a module; a folder's own name stands for its `__init__`."""
    first, _, rest = name.partition(".")
    return first if rest or first in FOLDERS else ""


def test_every_file_has_a_place():
    assert set(FILES) == set(ALLOWED)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_run_one_way(name):
    assert own_imports(name) <= ALLOWED[name]


@pytest.mark.parametrize("name", sorted(name for name in FILES if name != "__init__"))
def test_imports_between_folders_run_one_way(name):
    folder = folder_of(name)
    asked = {folder_of(other) for other in own_imports(name)} - {folder}
    assert asked <= (FOLDERS[folder] if folder else {"nn"})


@pytest.mark.parametrize("name", sorted(FILES))
def test_annotations_alone_name_a_path(name):
    assert own_imports(name, for_types=(True,)) == FOR_TYPES.get(name, set())


def test_no_arrow_is_allowed_that_nobody_takes():
    unused = {name: ALLOWED[name] - own_imports(name) for name in FILES}
    assert not {name: arrows for name, arrows in unused.items() if arrows}


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("nn.")))
def test_downstairs_never_sees_scikit_learn(name):
    assert not [m for m, _ in imported(FILES[name]) if m.split(".")[0] == "sklearn"]


@pytest.mark.parametrize("name", sorted(name for name in FILES if name != "private"))
def test_private_names_of_scikit_learn_enter_through_one_file(name):
    private = [
        (module, names)
        for module, names in imported(FILES[name])
        if module.startswith("sklearn") and any(part.startswith("_") for part in (*module.split("."), *names))
    ]
    assert not private


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_grows_past_450_lines(name):
    assert len(FILES[name].read_text().splitlines()) <= 450


def test_the_public_names_are_those_of_the_api():
    assert skvib.__all__ == [
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


def test_importing_skvib_loads_nothing_heavy_beside_torch_and_scikit_learn():
    heavy = "print([m for m in ('matplotlib', 'pandas', 'scipy.stats') if m in sys.modules])"
    loaded = [
        subprocess.check_output([sys.executable, "-c", f"import sys, {modules}; {heavy}"], text=True)
        for modules in ("skvib", "torch, sklearn.model_selection")
    ]
    assert loaded[0] == loaded[1]
