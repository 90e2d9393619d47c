"""Draw the pictures of the concept and how-to pages, docs/images/concept-*.png and howto-*.png.

    python .handbook/pictures.py runs/digits

draws all of them from the warehouse of `make demo` and the rows of docs/soundness.csv.
"""

import sys
from pathlib import Path

import altair as alt
import polars as pl
from PIL import Image

import failmodes

DOCS = Path(__file__).parents[1] / "docs"
CHARTS = {"onset": "onset", "attention": "attention", "calibration": "calibration"}  # of the warehouse, by concept
GRAY, BLUE, WIDTH_PX, SCALE = "#5b6068", "#1f4e79", 560, 2
WIDEST_PX, COLORS = 1360, 64
MARGIN = -1  # point
SHOWN = (  # made up: difference of two accuracies and its interval, in points
    ("500 images", -0.4, -3.0, 2.2, "inconclusive"),
    ("2,000 images", -0.4, -1.7, 0.9, "inconclusive"),
    ("10,000 images", -0.4, -0.9, 0.1, "supported"),
    ("2,000, another model", -3.2, -4.5, -1.9, "contradicted"),
)
CURVES = {  # made up: accuracy at severities 0 to 5
    "late": (0.95, 0.93, 0.90, 0.82, 0.66, 0.35),
    "near-linear": (0.95, 0.84, 0.71, 0.59, 0.48, 0.35),
    "early": (0.95, 0.62, 0.48, 0.42, 0.38, 0.35),
}


def draw_verdicts() -> alt.LayerChart:
    """Draw four intervals against a limit of one point, with their verdicts."""
    rows = pl.DataFrame(SHOWN, ("images", "difference", "low", "high", "verdict"), orient="row")
    y = alt.Y("images:N", sort=None, title=None)
    title = "Accuracy difference (candidate − baseline), points"
    scale = alt.Scale(domain=[-5, 4])
    base = alt.Chart(rows)
    bars = base.mark_rule(size=3, color=BLUE).encode(y=y, x=alt.X("low:Q", title=title, scale=scale), x2="high:Q")
    dots = base.mark_point(filled=True, size=90, color=BLUE, opacity=1).encode(y=y, x="difference:Q")
    words = base.mark_text(align="left", fontWeight="bold", fontSize=12).encode(y=y, x=alt.datum(2.7), text="verdict:N")
    limit = alt.Chart().mark_rule(strokeDash=[5, 4], color=GRAY).encode(x=alt.datum(MARGIN))
    return _sized(alt.layer(limit, bars, dots, words), "Claim: the candidate is at most one point worse (dashed)")


def draw_shapes() -> alt.FacetChart:
    """Draw three curves with the same total drop, their chord and their curvature."""
    rows = [
        {
            "shape": f"{name}, curvature {_curvature(curve):+.2f}",
            "severity": s,
            "accuracy": value,
            "chord": 0.95 - 0.12 * s,
        }
        for name, curve in CURVES.items()
        for s, value in enumerate(curve)
    ]
    base = alt.Chart().encode(x=alt.X("severity:Q", title="Severity", axis=alt.Axis(tickCount=5)))
    chord = base.mark_line(strokeDash=[5, 4], color=GRAY).encode(y="chord:Q")
    between = base.mark_area(color=BLUE, opacity=0.15).encode(y="accuracy:Q", y2="chord:Q")
    scale = alt.Scale(domain=[0.2, 1])
    accuracy = alt.Y("accuracy:Q", title="Accuracy", scale=scale, axis=alt.Axis(format="%"))
    line = base.mark_line(color=BLUE, point=alt.OverlayMarkDef(color=BLUE)).encode(y=accuracy)
    panels = alt.layer(between, chord, line, data=pl.DataFrame(rows)).properties(width=165, height=150)
    header = alt.Header(title=None, labelFontSize=13, labelFontWeight="bold")
    return panels.facet(alt.Facet("shape:N", sort=None, header=header), columns=3)


def draw_error_rates() -> alt.LayerChart:
    """Draw the measured error rate of each kind of finding, from docs/soundness.csv."""
    rows = pl.read_csv(DOCS / "soundness.csv").filter(~pl.col("kind").str.contains(" "), measured="false claim")
    rows = rows.with_columns(pl.col("kind").str.replace_all("_", " "))
    x = alt.X("percent:Q", title="False in % of simulated samples; one dot per case", scale=alt.Scale(domain=[0, 6]))
    dots = alt.Chart(rows).mark_circle(color=BLUE, size=26, opacity=0.5)
    limit = alt.Chart().mark_rule(strokeDash=[5, 4], color=GRAY).encode(x=alt.datum(5))
    return _sized(
        alt.layer(limit, dots.encode(x=x, y=alt.Y("kind:N", title=None))),
        "No case is shown to be false in more than 5% (dashed)",
    )


def write_pictures(warehouse: str) -> None:
    """Write all pictures."""
    drawn = {"intervals": draw_verdicts(), "shapes": draw_shapes(), "findings": draw_error_rates()}
    for concept, chart in drawn.items():
        styled = chart.configure(background="#fff").configure_axis(labelFontSize=12, titleFontSize=12, labelLimit=260)
        styled.save(_path(concept), scale_factor=SCALE)
    opened = failmodes.open(warehouse)
    for concept, name in CHARTS.items():
        opened.chart(name).save(_path(concept))
    paths = [_path(concept) for concept in (*drawn, *CHARTS)]
    for path in [*paths, *_write_how_to(opened)]:
        _make_small(path)


def _write_how_to(opened: failmodes.Warehouse) -> list[Path]:
    """Write what the how-to pages show at their top: an image along severity, a column of a paper, attention on ink."""
    folder = DOCS / "images"
    opened.images(image=17, corruption="fog").save(folder / "howto-images.png")
    column = opened.chart("curves", corruption=["contrast", "fog"], width="85mm")
    column.save(folder / "howto-figures.png")
    opened.chart("object-attention", corruption=["fog", "gaussian_noise"]).save(folder / "howto-masks.png")
    return [folder / f"howto-{name}.png" for name in ("images", "figures", "masks")]


def _path(concept: str) -> Path:
    return DOCS / "images" / f"concept-{concept}.png"


def _make_small(path: Path) -> None:
    """Shrink an image to twice the page width and few colors."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((WIDEST_PX, 4000), Image.Resampling.LANCZOS)
    small.quantize(COLORS).save(path, optimize=True)


def _curvature(curve: tuple[float, ...]) -> float:
    """Return the mean of (accuracy - chord) / total drop over the inner severities."""
    drop = curve[0] - curve[-1]
    inner = range(1, len(curve) - 1)
    return sum((curve[s] - (curve[0] - drop * s / (len(curve) - 1))) / drop for s in inner) / len(inner)


def _sized(chart: alt.LayerChart, title: str) -> alt.LayerChart:
    return chart.properties(width=WIDTH_PX, title=alt.TitleParams(title, anchor="start", fontSize=14))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python .handbook/pictures.py WAREHOUSE, the one of `make demo`")
    write_pictures(sys.argv[1])
