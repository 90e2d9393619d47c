"""The command that judges claims."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.limits import limit_command
from failmodes.warehouse.result_output import ForceOption, check_texts, write_texts
from failmodes.warehouse.terminal import say, stdout_console


def claims(
    where: Annotated[
        Path | None, typer.Argument(metavar="WAREHOUSE", help="A study file, an output folder or a .duckdb file.")
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Argument(help='A claim, such as "fog costs more than contrast at 5"; if none, those of the study.'),
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
    """Judge claims by the data: supported, contradicted or inconclusive, with number and interval, for each model.

    \b
    What can be claimed, of each model or "for MODEL":
      fog costs more than contrast at 5
      fog costs at most 10 points on average
      fog costs most at the last severity
      fog is near-linear
         falls early, collapses late, is flat, rises,
         is non-monotone, collapses in one step
      "Net A" better than "Net B" on average
      accuracy is at least 90 % when clean
         under fog, under fog at 5, on average
      attention is on the object when clean
      attention leaves the object under fog
         loses its place, keeps its place
    """  # noqa: D301  # \b is a letter here, which keeps lines as they are
    limit_command(timeout)
    from failmodes.analysis.claims.claims_result import ClaimsResult
    from failmodes.analysis.judging.stored import warehouse_claims
    from failmodes.warehouse.database.stated_claims import claims_of_studies
    from failmodes.warehouse.storage.locations import find_warehouse

    outputs = {"json": json_file, "markdown": markdown_file}
    check_texts(outputs, force=force)
    given = list(claim or ())
    if where is not None and " " in str(where) and where.suffix not in (".toml", ".duckdb") and not where.exists():
        where, given = None, [str(where), *given]  # a claim in the place of the warehouse, which is the one here
    path = find_warehouse(where)
    result = ClaimsResult(warehouse_claims(path, given, None if given else claims_of_studies([where])))
    if write_texts({"json": result.to_json, "markdown": result.to_markdown}, outputs, force=force):
        return
    console = stdout_console()
    say(result.to_text(console.width) if console.is_terminal else result.to_text(), end="")
