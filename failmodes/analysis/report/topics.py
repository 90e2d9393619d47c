"""The parts of a report: which findings stand beside which charts."""

from typing import NamedTuple


class Topic(NamedTuple):
    """One part of a report.

    Attributes:
        key: its name in links, a word.
        title: its heading.
        kinds: of the findings that are told there.
        charts: those that are shown.
        more: those that a reader opens, names as in `CHARTS`.
    """

    key: str
    title: str
    kinds: tuple[str, ...]
    charts: tuple[str, ...]
    more: tuple[str, ...] = ()


FIRST_SCREEN = "ranking"  # the chart beside the verdict
IN_GALLERY = "exemplars"  # the chart whose pictures the gallery has
IN_COMPARISON = "differences"  # the chart of each pair that is compared

TOPICS = (
    Topic(
        "accuracy",
        "How accuracy falls",
        (
            "largest_drop",
            "shape",
            "shape_over_distortion",
            "abrupt_drop",
            "flat",
            "rise",
            "better_over_seeds",
            "better_model",
        ),
        ("curves",),
        ("shapes", "distortion-shapes", "drops", "distortion"),
    ),
    Topic(
        "predictions", "What is answered", ("prediction_collapse", "class_failure"), ("confusion",), ("predictions",)
    ),
    Topic("confidence", "How sure the models are", ("overconfidence", "calibration_error"), ("calibration",)),
    Topic(
        "failure-prediction",
        "Which failures could be seen coming",
        ("confidence_below_chance", "early_warning"),
        ("early-warning",),
        ("onset", "failure-prediction", "risk-coverage"),
    ),
    Topic(
        "attention",
        "Where the models look",
        ("attention_drift", "attention_off_object"),
        ("attention",),
        ("object-attention",),
    ),
)
