"""The command that judges claims."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.output_files import ForceOption, check_texts, write_texts
from failmodes.warehouse.process import limit_command


def claims(
    where: Annotated[
        Path | None, typer.Argument(metavar="WAREHOUSE", help="A study file, an output folder or a .duckdb file.")
    ] = None,
    claims_file: Annotated[
        Path | None,
        typer.Option("--claims", help="Judge the [\\[claims]] of this TOML file, instead of those of the study."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file; - prints them instead of the table.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write a table for a pull request to this file, or print it (-).")
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Judge claims by the data: supported, contradicted, inconclusive or not measurable, for each model.

    \b
    Claims are tables of a study file, or of the file of --claims (docs/claims.md has all keys):
      [\\[claims]]
      metric = "accuracy"
      corruptions = ["fog"]      # all by default; "none" is clean
      severities = [5]           # or "last"; the whole ones by default
      relation = "drop_at_most"  # or at_least, at_most, less_than, largest_drop …
      limit = 0.10
      [\\[claims]]
      shape = "near_linear"      # instead of metric, relation and limit
      corruptions = ["contrast"]
    """  # noqa: D301  # \b is a letter here, which keeps lines as they are
    limit_command(timeout)
    from failmodes.analysis.judging.claims import ClaimsResult
    from failmodes.analysis.judging.stored import warehouse_claims
    from failmodes.analysis.render.documents import print_document
    from failmodes.ingest.statements import claims_file as read_claims
    from failmodes.ingest.statements import claims_of_studies
    from failmodes.warehouse.metrics.custom import metrics_of_studies
    from failmodes.warehouse.storage.locations import find_warehouse

    outputs = {"json": json_file, "markdown": markdown_file}
    check_texts(outputs, force=force)
    given = read_claims(claims_file) if claims_file is not None else []
    path = find_warehouse(where)
    metrics = metrics_of_studies([claims_file or where]) or []
    result = ClaimsResult(warehouse_claims(path, given, None if given else claims_of_studies([where]), metrics))
    if not write_texts({"json": result.to_json, "markdown": result.to_markdown}, outputs, force=force):
        print_document(result.document)
