"""The claims of study files, read before a load stores them: what `failmodes run` would refuse is refused here too."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from failmodes.warehouse.database.stated_claims import claims_of_study
from failmodes.warehouse.schema import CORRUPTIONS
from failmodes.warehouse.shards.inventory import LoadError, has_results, read_verified_rows, scan_results
from failmodes.warehouse.storage.locations import default_location, find_results, read_toml


def check_claims(locations: Iterable[str | Path | None]) -> None:
    """Refuse a claim that is not understood. A corruption of the study's own code is known where it is on record.

    Args:
        locations: what is loaded, as for `find_results`; those that are no study files state nothing.

    Raises:
        StudyError: a study cannot be read, or a claim of it is not understood.
        WarehouseError, StorageError: the record cannot be read.
    """
    for path in (Path(location) if location else default_location() for location in locations):
        if path.suffix == ".toml":
            _check_study(path)


def _check_study(path: Path) -> None:
    claims = claims_of_study(path)
    if not claims:
        return
    from failmodes.ingest.claim_corruptions import UnknownCorruptionError  # with SciPy, which no load needs
    from failmodes.ingest.claim_grammar import parse_claim

    content = read_toml(path)
    models = _labels(content)
    for claim in claims:
        try:
            parse_claim(claim, models=models)
        except UnknownCorruptionError:
            from failmodes.evaluate.study.reading import own_modules

            if not own_modules(content):  # what those call their corruptions is known once they are imported
                parse_claim(claim, _recorded_corruptions(path), models)


def _labels(content: Mapping[str, Any]) -> list[str]:
    """Labels of the models of a study that was not checked yet."""
    models = content.get("models")
    labels = [model.get("label") for model in models if isinstance(model, Mapping)] if isinstance(models, list) else []
    return [label for label in labels if isinstance(label, str)]


def _recorded_corruptions(study: Path) -> list[tuple[str, str]]:
    """Corruptions on record, as name and label; of a record that is damaged or not there yet none."""
    output, errors = find_results(study), list[LoadError]()
    if not has_results(output):
        return []
    files = [file for file in scan_results([output])[0].values() if file.table is CORRUPTIONS]
    rows = [row for table in read_verified_rows(files, errors) for row in table.to_pylist()]
    return [(row["corruption"], row["corruption_label"]) for row in rows]
