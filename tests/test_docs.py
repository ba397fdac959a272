"""What the site promises: every public name documented, every figure from a result, every example a question."""

import inspect
import re
from pathlib import Path

import pytest

import skvib
from benchmarks.tables import renewed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PUBLIC = {name: getattr(skvib, name) for name in skvib.__all__}
EXAMPLES = sorted((DOCS / "examples").glob("plot_*.py"))
# text begins behind the quotes, returned values have names, and a summary may be all there is to say
IGNORED = {"GL01", "RT02", "ES01"}
IGNORED_FOR_METHODS = {*IGNORED, "EX01", "SA01"}


def validate(name):
    return pytest.importorskip("numpydoc.validate").validate(name)["errors"]


def methods_of(cls):
    return [
        f"skvib.{cls.__name__}.{name}"
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if name[0] != "_" and (member.__module__ or "").startswith("skvib")
    ]


METHODS = sorted(method for thing in PUBLIC.values() if inspect.isclass(thing) for method in methods_of(thing))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_passes_numpydoc_and_has_an_example(name):
    assert not [error for error in validate(f"skvib.{name}") if error[0] not in IGNORED]
    assert ">>>" in PUBLIC[name].__doc__


@pytest.mark.parametrize("name", METHODS)
def test_every_public_method_passes_numpydoc(name):
    assert not [error for error in validate(name) if error[0] not in IGNORED_FOR_METHODS]


def test_the_api_page_has_every_public_name():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.rst").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(PUBLIC)


def test_the_signature_of_an_estimator_is_that_of_its_parameters():
    for estimator in (skvib.VIBClassifier, skvib.VIBRegressor):
        of_init = list(inspect.signature(estimator.__init__).parameters)[1:]
        assert list(inspect.signature(estimator).parameters) == of_init


def test_the_benchmarks_page_shows_every_result():
    shown = set(re.findall(r"^\.\. results:: (\w+)$", (DOCS / "benchmarks.rst").read_text(), re.MULTILINE))
    assert shown == {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}


def test_the_table_of_the_readme_is_that_of_the_results():
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- results:") == 1
    assert renewed(text) == text


def test_every_page_is_reached_from_the_user_guide():
    pages = {path.stem for path in (DOCS / "user_guide").glob("*.rst")} - {"index"}
    assert pages <= set((DOCS / "user_guide" / "index.rst").read_text().split())


def test_the_gallery_asks_at_least_eight_questions():
    titles = [path.read_text().splitlines()[1] for path in EXAMPLES]
    assert len(titles) >= 8
    assert all("?" in title for title in titles)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_uses_public_names_alone(path):
    text = path.read_text()
    assert not re.search(r"from skvib\.|import skvib\.|\._[a-z]", text)
    compile(text, path.name, "exec")
