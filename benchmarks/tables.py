"""Tables of stored results: rows of a claim that fulfil conditions, and some of their columns.

``python -m benchmarks.tables`` renews the tables of README.md. Each stands below a comment: the claim, conditions
(``where key = value``, or several values between ``|``) and columns (``key = label``), one a line.
"""

import re
from pathlib import Path

from benchmarks.claim import stored_result

README = Path(__file__).parents[1] / "README.md"
TABLE = re.compile(r"(<!-- results: (\w+)\n((?:[^-].*\n)+)-->\n\n)(?:\|.*\n)*")


def cell(value):
    """A value as a reader wants to see it."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:#.3g}".rstrip(".")


def table(claim, columns, where=()):
    """The labels of the columns, and below them the cells of all rows that have the columns; "key = value" strings."""
    labels, conditions = (dict(line.split(" = ", 1) for line in lines if line) for lines in (columns, where))
    rows = [row for row in stored_result(claim).get("rows", ()) if all(key in row for key in labels)]
    rows = [row for row in rows if all(str(row.get(key)) in value.split(" | ") for key, value in conditions.items())]
    if not rows:
        raise ValueError(f"no row of {claim}.json has the columns {list(labels)} where {conditions}")
    return [[*labels.values()], *([cell(row[key]) for key in labels] for row in rows)]


def renewed(text):
    """The text, with every table anew."""
    return TABLE.sub(lambda found: found[1] + markdown(found[2], found[3].splitlines()), text)


def markdown(claim, lines):
    where = [line.removeprefix("where ") for line in lines if line.startswith("where ")]
    labels, *rows = table(claim, [line for line in lines if not line.startswith("where ")], where)
    return "".join(f"| {' | '.join(row)} |\n" for row in (labels, ["---"] * len(labels), *rows))


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
