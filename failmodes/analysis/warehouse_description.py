"""What a warehouse holds, in a few lines: what it says of itself in a notebook."""

from pathlib import Path

from failmodes.analysis.render.formatting import format_severity
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.query import query_errors

_DESCRIBED = ("evaluation_labels", "shards", "corruptions", "prediction_facts", "attention")
MOST_LISTED = 6  # names of models or corruptions


def describe_warehouse(path: Path) -> list[tuple[str, str]]:
    """Models, corruptions, severities, images and rows, as names and values.

    Raises:
        WarehouseError: it cannot be read.
    """
    with open_warehouse(path, _DESCRIBED) as con, query_errors():
        models = con.execute(
            "select model_label || case count(*) when 1 then '' else format(' ({} evaluations)', count(*)) end "
            "from evaluation_labels group by model_label order by model_label"
        ).fetchall()
        cells = con.execute(
            "select distinct corruption, severity from shards inner join corruptions using (corruption) "
            "where table_name = 'prediction_facts' and severity > 0 order by corruption_order, corruption, severity"
        ).fetchall()
        images = con.execute(
            "select distinct image_count, dataset_label from evaluation_labels order by all desc"
        ).fetchall()
        (counts,) = con.execute(
            "select (select count(*) from prediction_facts), (select count(*) from attention)"
        ).fetchall()
    corruptions = dict.fromkeys(corruption for corruption, _ in cells)
    severities = sorted({severity for _, severity in cells})
    return [
        ("models", _listed([label for (label,) in models])),
        ("corruptions", _listed(list(corruptions))),
        ("severities", _listed([format_severity(float(severity)) for severity in severities])),
        ("images", "; ".join(f"{count:,} of {dataset}" for count, dataset in images) or "none"),
        ("rows", f"{counts[0]:,} predictions, {counts[1]:,} attention rows"),
    ]


def _listed(names: list[str]) -> str:
    """How many there are, and the first of them."""
    rest = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{len(names)}: {', '.join(names[:MOST_LISTED])}{rest}" if names else "none"
