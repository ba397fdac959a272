"""What the benchmarks promise: every table follows from its runs, and an interrupted claim goes on where it was."""

import json

import pytest

from benchmarks import claim, picture
from benchmarks.claim import RESULTS, Claim, stored_result, verdict
from benchmarks.claims import listed

CLAIMS = listed()
N_SETTINGS = 4


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "RESULTS", tmp_path)
    monkeypatch.setattr(claim, "_versions", lambda: {"skvib": "0"})
    return tmp_path


def toy(run, **options):
    """The claim that a square is a square."""
    settings = [{"x": x} for x in range(N_SETTINGS)]
    return Claim("toy", lambda: settings, run, **options)


def summary(runs):
    return [{"sum": sum(run["square"] for run in runs)}]


def verdicts(rows):
    yield verdict("a sum of 14", str(rows[0]["sum"]), rows[0]["sum"] == 14)


def test_every_claim_has_a_name_and_results_of_its_own():
    assert sorted(each.name for each in CLAIMS) == sorted(path.stem for path in RESULTS.glob("*.json"))


@pytest.mark.parametrize("each", CLAIMS, ids=lambda each: each.name)
def test_results_name_their_claim_and_its_command(each):
    stored = stored_result(each.name)
    assert (stored["claim"], stored["command"]) == (each.name, each.command)


def nearly(value):
    """But for the last bits, in which exp and log differ from machine to machine."""
    return pytest.approx(value, rel=1e-12) if isinstance(value, float) else value


@pytest.mark.parametrize("each", [c for c in CLAIMS if c.summary or c.verdicts], ids=lambda each: each.name)
def test_stored_tables_follow_from_stored_runs(each):
    stored = stored_result(each.name)
    try:
        tables = each.tables(stored["runs" if each.summary else "rows"])
    except SystemExit as error:
        # some tables show published figures
        pytest.skip(str(error))
    assert tables.get("verdicts", []) == stored["verdicts"]
    assert tables["rows"] == [{name: nearly(value) for name, value in row.items()} for row in stored["rows"]]


@pytest.mark.parametrize("options", [{"summary": summary, "verdicts": verdicts}, {}])
def test_an_interrupted_claim_goes_on_with_what_is_missing(results, options):
    asked = []

    def square(x):
        asked.append(x)
        if len(asked) == 3:
            raise RuntimeError("the power is off")
        return {"square": x**2}

    with pytest.raises(RuntimeError, match="power"):
        toy(square, **options).complete()
    toy(square, **options).complete()
    toy(square, **options).complete()
    assert asked == [0, 1, 2, 2, 3]
    stored, runs = stored_result("toy"), [{"x": x, "square": x**2} for x in range(N_SETTINGS)]
    if options:
        assert stored["runs"] == runs
        assert stored["rows"] == [{"sum": 14}]
        assert [each["verdict"] for each in stored["verdicts"]] == ["met"]
    else:
        assert stored["rows"] == runs
        assert not stored.keys() & {"runs", "verdicts"}


def test_settings_may_depend_on_the_first_runs(results):
    def then(runs):
        return [{"x": 10 * max(run["square"] for run in runs if run["x"] < N_SETTINGS)}]

    toy(lambda x: {"square": x**2}, summary=summary, then=then).complete()
    assert [run["x"] for run in stored_result("toy")["runs"]] == [0, 1, 2, 3, 90]


def test_a_run_may_return_several_rows(results):
    both = Claim("toy", lambda: [{"x": 2}], lambda x: ({"power": x**k} for k in (2, 3)))
    both.complete()
    both.complete()
    assert stored_result("toy")["rows"] == [{"x": 2, "power": 4}, {"x": 2, "power": 8}]


def test_runs_of_another_machine_are_not_mixed_with_those_of_this_one(results):
    path, complete = results / "toy.json", toy(lambda x: {"square": x**2}, summary=summary).complete
    complete()
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "machine": "an abacus"}))
    complete()
    assert stored_result("toy")["machine"] == "an abacus"
    path.write_text(json.dumps({**stored, "machine": "an abacus", "runs": stored["runs"][1:]}))
    with pytest.raises(ValueError, match="another machine"):
        complete()
    assert len(stored_result("toy")["runs"]) == N_SETTINGS - 1


def test_a_claim_that_begins_anew_forgets_what_it_has(results):
    ran = []
    anew = toy(lambda x: ran.append(x) or {"square": x**2}, begins_anew=True)
    anew.complete()
    anew.complete()
    assert ran == [0, 1, 2, 3] * 2
    assert len(stored_result("toy")["rows"]) == N_SETTINGS


def test_the_picture_shows_every_method_of_its_table():
    text = picture.FILE.read_text()
    for row in picture.rows():
        assert f">{row['method']}</text>" in text
