"""`failmodes explore`: checks the warehouse, binds the port, and serves the page until it is stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from failmodes.warehouse.errors import printable
from failmodes.warehouse.extras import require
from failmodes.warehouse.limits import limit_command, query_memory
from failmodes.warehouse.terminal import say

if TYPE_CHECKING:
    from failmodes.analysis.images.clean_images import OpenStudy

_SELECTING = ("corruptions", "evaluation_labels", "evaluations", "shards")

PortOption = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port; the first free one from 2718 on if not given.")
]
HostOption = Annotated[
    str, typer.Option(help="Address to listen on; any but 127.0.0.1 lets others in who have the token.")
]
BrowserOption = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, or print its address alone.")
]


def explore_warehouse(path: Path, open_study: "OpenStudy", *, host: str, port: int | None, open_browser: bool) -> None:
    """Serve the explorer of a warehouse until the process is stopped.

    Args:
        path: the DuckDB file.
        open_study: opens the study that is at hand, for pictures that the warehouse has not got.
        host: address to listen on.
        port: its port; the first free one from 2718 on if not given.
        open_browser: whether to open the page.

    Raises:
        MissingExtraError: marimo is not installed.
        StudyError: the port is taken, or the host is none.
        WarehouseError: the warehouse cannot be read, or holds no evaluation.
    """
    from failmodes.analysis.explorer.handed_over import Explored, hand_over
    from failmodes.analysis.explorer.serving import bound_socket, new_token, page_address, serve

    limit_command(None, query_memory(None))
    require("explore", "`failmodes explore`")
    from failmodes.analysis.selection import select
    from failmodes.warehouse.database.checks import RELATED, refuse_broken_relations
    from failmodes.warehouse.database.connection import open_warehouse

    with open_warehouse(path, [*_SELECTING, *RELATED]) as con:
        refuse_broken_relations(con)
        select(con)  # what keeps the page from being drawn is said here
    listening, token = bound_socket(host, port), new_token()
    hand_over(Explored(path.absolute(), open_study))
    say(printable(f"{path}: {page_address(host, listening.getsockname()[1], token)}"))
    say("Ctrl-C ends it.")
    serve(listening, host, token, open_browser=open_browser)
