"""Directives of benchmarks/results/<claim>.json: `results`, a table with the command behind it, and `verdicts`."""

import csv
import io

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from benchmarks.claim import RESULTS, stored_result
from benchmarks.tables import table


def csv_table(rows):
    """Lines of a table whose first row is its header."""
    lines = io.StringIO()
    csv.writer(lines, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return [".. csv-table::", "   :header-rows: 1", "", *(f"   {line}" for line in lines.getvalue().splitlines())]


class Results(SphinxDirective):
    """`.. results:: claim` with `:columns:`, one a line: key = label; `:where:` selects rows, a key = value a line."""

    required_arguments = 1
    option_spec = {"columns": directives.unchanged_required, "where": directives.unchanged}

    def run(self):
        claim = self.arguments[0]
        self.env.note_dependency(str(RESULTS / f"{claim}.json"))
        found = stored_result(claim)
        try:
            rows = table(claim, self.options["columns"].splitlines(), self.options.get("where", "").splitlines())
        except ValueError as error:
            raise self.error(str(error)) from error
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        text = csv_table(rows)
        text += ["", f"``{found['command']}`` on {found['machine']}, with Python {found['python']}, {versions}."]
        return self.parse_text_to_nodes("\n".join(text))


class Verdicts(SphinxDirective):
    """`.. verdicts::`, the targets of all benchmarks, what was measured, and whether that is enough."""

    def run(self):
        rows = []
        for path in sorted(RESULTS.glob("*.json")):
            self.env.note_dependency(str(path))
            found = stored_result(path.stem)
            rows += [[found["claim"], *verdict.values()] for verdict in found.get("verdicts", ())]
        return self.parse_text_to_nodes("\n".join(csv_table([["benchmark", "target", "measured", "verdict"], *rows])))


def setup(app):
    app.add_directive("verdicts", Verdicts)
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
