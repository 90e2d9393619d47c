"""Arguments and options that commands of the analysis share, and the panels of the help that they stand in."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.warehouse.completion import complete_corruption, complete_model

LOOKS, ROWS, IMAGES = "The picture", "From a warehouse", "From images, without a warehouse"  # panels of the help
Where = Annotated[Path | None, typer.Argument(help="A study file, an output folder or a .duckdb file.")]

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Only this model, by its label; may be repeated.",
        rich_help_panel=ROWS,
        autocompletion=complete_model,
    ),
]

Evaluations = Annotated[
    list[str] | None,
    typer.Option("--evaluation", help="Only this evaluation, by its identity.", rich_help_panel=ROWS),
]

Corruptions = Annotated[
    list[str] | None,
    typer.Option("--corruption", help="Only this corruption; may be repeated.", autocompletion=complete_corruption),
]
