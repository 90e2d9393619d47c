"""The parts of a report: which charts stand beside the findings of a section."""

from typing import NamedTuple


class Topic(NamedTuple):
    """One part of a report.

    Attributes:
        key: its name in links, and the section of the kinds of finding that are told there.
        title: its heading.
        charts: those that are shown.
        more: those that a reader opens, names as in `CHARTS`.
    """

    key: str
    title: str
    charts: tuple[str, ...]
    more: tuple[str, ...] = ()


FIRST_SCREEN = "ranking"  # the chart beside the verdict
IN_GALLERY = "exemplars"  # the chart whose pictures the gallery has
IN_COMPARISON = "differences"  # the chart of each pair that is compared

TOPICS = (
    Topic("accuracy", "How accuracy falls", ("curves",), ("shapes", "distortion-shapes", "drops", "distortion")),
    Topic("predictions", "What is answered", ("confusion",), ("predictions",)),
    Topic("confidence", "How sure the models are", ("calibration",)),
    Topic(
        "failure-prediction",
        "Which failures could be seen coming",
        ("early-warning",),
        ("onset", "failure-prediction", "risk-coverage"),
    ),
    Topic("attention", "Where the models look", ("attention",), ("object-attention",)),
)
