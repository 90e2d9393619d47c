"""What every column of every table and view means, with its range and unit, for `failmodes schema` and DuckDB's shell.

A column of a table means what the contract says. A column of a view means what the comment behind it says, in the
last select of the view's file (`accuracy, -- share of images that are right, 0-1`; lines of comment beneath go on); a
column without a comment means what the column of that name means in the first of the view's sources that has it.
"""

import re
from functools import cache

from failmodes.sql import MARTS, read_sql
from failmodes.warehouse.database.relations import TABLES, view_definitions

# Comments in files of sql/staging are part of the hash by which stored measures are known: what is no column of a
# source is explained here instead.
_STAGING = {
    "curve_points": {
        "cell_corruption": "corruption of the stored cell that holds the point: 'none' at severity 0",
        "severity_before": "severity of the point before on the curve; null at severity 0",
        "point_number": "position of the point on its curve, from 1, the clean point",
    },
    "evaluation_labels": {
        "class_count": "number of classes of the data set",
        "model_name": "the model's name on charts without its training seed; evaluations of several share it",
    },
    "outcomes": {"correct": "whether the class predicted is the label; false where none is predicted"},
    "score_ranks": {
        "evaluation_id": "evaluation",
        "corruption": "corruption, 'none' is clean; null: all but clean",
        "severity": "severity; null: all above clean",
        "score": "what images are ranked by",
        "certainty": "value of the score, larger is higher_count; -infinity where it is no number",
        "tied": "images of this value",
        "tied_failure_count": "of them wrong",
        "higher_count": "images of larger values",
        "higher_failure_count": "of them wrong",
        "n": "images that have the score on record",
        "failures": "of them wrong",
    },
}

_NOTE = re.compile(r"(?:^|[\s.])(\w+),?\s+--\s+(\S.*)$")


@cache
def column_meanings(relation: str) -> dict[str, str]:
    """Meaning of each column of a table or view, by name; of a view also those of its sources that it leaves out."""
    if relation in TABLES:
        return {column.name: column.meaning for column in TABLES[relation].columns}
    meanings: dict[str, str] = {}
    for source in _sources(relation):
        meanings = column_meanings(source) | meanings
    return meanings | _own_meanings(relation)


def _own_meanings(view: str) -> dict[str, str]:
    """What the view's own file, or the list above, says of its columns."""
    text = read_sql(MARTS).get(view)
    if text is None:
        return _STAGING.get(view, {})
    found: dict[str, str] = {}
    name = ""
    outputs = text[text.rfind("\nselect") :].partition("\nfrom ")[0]
    for line in outputs.splitlines():
        if line.strip().startswith("--"):
            found |= {name: f"{found[name]} {line.strip().removeprefix('--').strip()}"} if name else {}
        elif note := _NOTE.search(line):
            name = note[1]
            found[name] = note[2]
        else:
            name = ""
    return found


def _sources(view: str) -> list[str]:
    """Tables and views that a view is made from: first those that its line `Source:` names, in that order."""
    definition = view_definitions()[view]
    words = re.findall(r"\w+", definition.partition("-- Source:")[2])
    return [
        word for word in dict.fromkeys(words) if word != view and word in (TABLES.keys() | view_definitions().keys())
    ]
