"""Names of charts with what each shows, and none of what draws them: all that help and completion ask for."""

import ast
from importlib.resources import files

# In the order of the help; `charts.drawing` has what draws them, each in a file of its name
CHARTS_OF_A_WAREHOUSE = (
    "ranking", "curves", "drops", "shapes", "distortion-shapes", "differences", "predictions", "confusion", "attention",
    "object-attention", "exemplars", "onset", "calibration", "failure-prediction", "risk-coverage", "early-warning",
    "distortion",
)  # fmt: skip
CHARTS_OF_IMAGES = ("contact-sheet", "distortion")


def complete_chart(incomplete: str) -> list[tuple[str, str]]:
    """Charts, for a shell that completes a line."""
    every = dict.fromkeys((*CHARTS_OF_A_WAREHOUSE, *CHARTS_OF_IMAGES))
    return [(name, chart_meaning(name)) for name in every if name.startswith(incomplete)]


def chart_meaning(name: str) -> str:
    """What a chart shows: the first line of its file, which is read and not imported."""
    text = files("failmodes.analysis.charts").joinpath(f"{name.replace('-', '_')}.py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
