"""Ingest's own command: fetching public data sets."""

from pathlib import Path
from typing import Annotated

import typer


def download(
    name: Annotated[str, typer.Argument(help="cifar10, cifar100, cifar10-c or cifar100-c", metavar="NAME")],
    to: Annotated[Path, typer.Option(help="Folder to put it in", metavar="DIR")] = Path("data"),
) -> None:
    """Fetch a public data set with checksum; a download that broke off is resumed."""
    from ingest.download import fetch

    typer.echo(fetch(name, to.expanduser()))
