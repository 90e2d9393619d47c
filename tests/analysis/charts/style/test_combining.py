"""Layers put together, and charts that are written quickly."""

import altair as alt
import polars as pl

from failmodes.analysis.charts.style.combining import layered, stacked


def test_a_chart_is_written_as_altair_writes_it() -> None:
    points = alt.Chart(pl.DataFrame({"at": [0, 1], "value": [0.5, None]})).encode(
        x=alt.X("at:Q", axis=alt.Axis(values=[0, 1], labels=False)), y=alt.Y("value:Q", scale=alt.Scale(domain=(0, 1)))
    )
    layers = points.mark_point(size=3), points.mark_line().encode(color=alt.value("#888"))
    chart = stacked(layered(*layers, width=20))
    expected = alt.vconcat(alt.layer(*layers, width=20)).to_dict()
    assert chart.to_dict() == expected
    assert chart.to_dict(validate=False) == expected
    written = chart.to_dict(validate=False)
    written["vconcat"][0]["layer"][0]["encoding"]["x"]["axis"]["values"].append(2)
    assert chart.to_dict(validate=False) == expected  # what is written is a copy
