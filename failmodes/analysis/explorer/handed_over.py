"""The warehouse that `failmodes explore` hands to the page, which runs in the same process, a thread a reader."""

from pathlib import Path
from typing import NamedTuple

from failmodes.analysis.images.clean_images import OpenStudy
from failmodes.warehouse.errors import StudyError


class Explored(NamedTuple):
    """What is explored: the DuckDB file, and how to open the study whose images are at hand."""

    path: Path
    open_study: OpenStudy | None = None


class _Handed:
    explored: Explored | None = None


def hand_over(explored: Explored) -> None:
    """Let every page that is opened from here on show this warehouse."""
    _Handed.explored = explored


def explored_warehouse() -> Explored:
    """The warehouse that was handed over.

    Raises:
        StudyError: none was: the page was started without the command.
    """
    if _Handed.explored is None:
        raise StudyError("no warehouse was handed to this page: start it with `failmodes explore WAREHOUSE`")
    return _Handed.explored
