"""The import direction of the house."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skvib

ROOT = Path(skvib.__file__).parent
ALLOWED = {
    "__init__": {
        "bounds",
        "classifier",
        "displays",
        "information",
        "regressor",
        "path",
        "search",
        "together",
        "uncertainty",
    },
    "classifier": {"base", "checks", "rows"},
    "regressor": {"base", "rows"},
    "search": {"base", "bounds", "monitor", "path", "nn.problem", "rows", "together"},
    "path": {"base", "bounds", "information", "monitor", "nn.problem", "nn.trainer", "rows"},
    "displays": {"bounds", "information", "rows"},
    "information": {"bounds", "monitor", "rows"},
    "uncertainty": {"bounds"},
    "bounds": {"rows"},
    "together": {"base", "grouping", "nn.problem", "nn.trainer"},
    "grouping": {"nn.layers", "nn.problem", "nn.trainer"},
    "base": {
        "checks",
        "fitted",
        "hints",
        "holdout",
        "monitor",
        "rows",
        "nn.trainer",
        "nn.problem",
        "nn.network",
        "nn.layers",
        "nn.encoders",
    },
    "fitted": {"rows", "nn.problem", "nn.network", "nn.layers", "nn.weights"},
    "checks": {"rows"},
    "hints": set(),
    "holdout": set(),
    "monitor": set(),
    "rows": set(),
    "nn.__init__": set(),
    "nn.trainer": {
        "nn.batches",
        "nn.betas",
        "nn.evaluation",
        "nn.objective",
        "nn.optimizer",
        "nn.problem",
        "nn.progress",
        "nn.stack",
        "nn.stopping",
    },
    "nn.stopping": {"nn.problem", "nn.progress", "nn.stack"},
    "nn.optimizer": {"nn.batches", "nn.problem", "nn.stack"},
    "nn.stack": {"nn.betas", "nn.layers", "nn.network", "nn.problem", "nn.progress", "nn.weights"},
    "nn.evaluation": {"nn.batches", "nn.heads", "nn.network", "nn.problem"},
    "nn.batches": {"nn.betas", "nn.layers", "nn.objective", "nn.problem"},
    "nn.betas": {"nn.layers", "nn.network", "nn.weights"},
    "nn.progress": {"nn.objective", "nn.prices", "nn.problem"},
    "nn.problem": {"nn.layers", "nn.network", "nn.weights"},
    "nn.objective": {"nn.layers", "nn.network", "nn.posteriors"},
    "nn.weights": {"nn.network", "nn.parts"},
    "nn.network": {
        "nn.bottleneck",
        "nn.encoders",
        "nn.heads",
        "nn.layers",
        "nn.likelihoods",
        "nn.parts",
        "nn.posteriors",
        "nn.prices",
        "nn.priors",
    },
    "nn.heads": {"nn.layers", "nn.likelihoods", "nn.parts", "nn.posteriors"},
    "nn.priors": {"nn.parts", "nn.posteriors"},
    "nn.prices": set(),
    "nn.posteriors": set(),
    "nn.encoders": {"nn.layers", "nn.parts"},
    "nn.bottleneck": {"nn.layers", "nn.parts", "nn.posteriors"},
    "nn.likelihoods": {"nn.layers", "nn.parts"},
    "nn.layers": {"nn.parts"},
    "nn.parts": set(),
}
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}


def imported(path):
    """(module, names) of every import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, tuple(alias.name for alias in node.names)


def code_lines(path):
    """Lines that are not in a docstring."""
    tree, text = ast.parse(path.read_text()), path.read_text().splitlines()
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [n.body[0] for n in ast.walk(tree) if isinstance(n, kinds) and ast.get_docstring(n)]
    return len(text) - sum(d.end_lineno - d.lineno + 1 for d in docstrings)


def test_every_file_has_a_place():
    assert set(FILES) == set(ALLOWED)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_run_one_way(name):
    own = {m.removeprefix("skvib.") for m, _ in imported(FILES[name]) if m.split(".")[0] == "skvib"}
    assert own <= ALLOWED[name]


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("nn.")))
def test_downstairs_never_sees_scikit_learn(name):
    assert not [m for m, _ in imported(FILES[name]) if m.split(".")[0] == "sklearn"]


@pytest.mark.parametrize("name", sorted(name for name in FILES if name != "base"))
def test_private_names_of_scikit_learn_enter_through_base(name):
    private = [
        (module, names)
        for module, names in imported(FILES[name])
        if module.startswith("sklearn") and any(part.startswith("_") for part in (*module.split("."), *names))
    ]
    assert not private


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_grows_past_450_lines_of_code(name):
    assert code_lines(FILES[name]) <= 450


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


def test_importing_skvib_loads_nothing_heavy_beside_torch_and_scikit_learn():
    heavy = "print([m for m in ('matplotlib', 'pandas', 'scipy.stats') if m in sys.modules])"
    loaded = [
        subprocess.check_output([sys.executable, "-c", f"import sys, {modules}; {heavy}"], text=True)
        for modules in ("skvib", "torch, sklearn.model_selection")
    ]
    assert loaded[0] == loaded[1]
