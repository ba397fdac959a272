"""Directives of benchmarks/results/<claim>.json: `results`, a table with the command behind it, and `verdicts`."""

import json
from pathlib import Path

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def cell(value):
    """A value as a reader wants to see it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def csv_table(rows):
    """Lines of a table whose first row is its header."""
    quoted = ("   " + ", ".join(f'"{part}"' for part in row) for row in rows)
    return [".. csv-table::", "   :header-rows: 1", "", *quoted]


class Results(SphinxDirective):
    """`.. results:: claim` with `:columns:`, one a line: key = label; `:where:` selects rows, a key = value a line."""

    required_arguments = 1
    option_spec = {"columns": directives.unchanged_required, "where": directives.unchanged}

    def run(self):
        path = RESULTS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        found = json.loads(path.read_text())
        columns = dict(line.split(" = ", 1) for line in self.options["columns"].splitlines() if line)
        rows = [row for row in found["rows"] if all(key in row for key in columns)]
        for condition in self.options.get("where", "").splitlines():
            key, value = condition.split(" = ")
            rows = [row for row in rows if str(row.get(key)) == value]
        if not rows:
            raise self.error(f"no row of {path.name} has the columns {list(columns)}")
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        text = csv_table([columns.values(), *([cell(row[key]) for key in columns] for row in rows)])
        text += ["", f"``{found['command']}`` on {found['machine']}, with Python {found['python']}, {versions}."]
        return self.parse_text_to_nodes("\n".join(text))


class Verdicts(SphinxDirective):
    """`.. verdicts::`, the targets of all benchmarks, what was measured, and whether that is enough."""

    def run(self):
        rows = []
        for path in sorted(RESULTS.glob("*.json")):
            self.env.note_dependency(str(path))
            found = json.loads(path.read_text())
            rows += [[found["claim"], *verdict.values()] for verdict in found.get("verdicts", ())]
        return self.parse_text_to_nodes("\n".join(csv_table([["benchmark", "target", "measured", "verdict"], *rows])))


def setup(app):
    app.add_directive("verdicts", Verdicts)
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
