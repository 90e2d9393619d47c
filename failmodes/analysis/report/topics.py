"""The parts of a report: which charts stand in it, and beside the findings of which section."""

from typing import NamedTuple


class Topic(NamedTuple):
    """A section of a report with a chart and its strongest findings.

    Attributes:
        key: its name in links, and the section of the kinds of finding that it shows.
        title: its heading.
        chart: name as in `CHARTS`.
    """

    key: str
    title: str
    chart: str


FIRST_SCREEN = "ranking"  # the chart beside the verdict
IN_COMPARISON = "differences"  # the chart of each pair that is compared

TOPICS = (
    Topic("accuracy", "Accuracy curves", "curves"),
    Topic("predictions", "Confusion and images", "confusion"),
    Topic("confidence", "Confidence and calibration", "calibration"),
)
MORE_CHARTS = (  # in Details
    "shapes", "distortion-shapes", "drops", "distortion", "predictions", "early-warning", "onset",
    "failure-prediction", "risk-coverage", "attention", "object-attention",
)  # fmt: skip
FINDINGS = {  # headings in Details by the section of kinds of finding
    "accuracy": "Accuracy", "predictions": "Predictions", "confidence": "Confidence",
    "failure-prediction": "Failure prediction", "attention": "Attention",
}  # fmt: skip
