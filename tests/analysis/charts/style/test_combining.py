"""Layers put together, and charts that are written quickly."""

from datetime import date

import altair as alt
import numpy as np
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


def test_channels_of_every_kind_are_written_as_altair_writes_them() -> None:
    rows = pl.DataFrame({"at": [0, 1], "value": [0.5, 1.0], "name": ["a", "b"], "day": [date(2026, 1, 1)] * 2})
    param = alt.param("focus", value=1)
    base = alt.Chart(rows).encode(x=alt.X("mean(value):Q", scale=alt.Scale(domain=[np.float32(0.5), np.int64(2)])))
    layers = [
        base.mark_rule(color=alt.expr("'red'")).encode(y="name:N", x2=alt.X2("at"), detail=["name:N", "at:O"]),
        base.mark_rule().encode(detail=alt.Detail(["name:N", "at:O"]), y2=alt.datum(2)),
        base.mark_point(filled=True).encode(
            y=alt.Y("name", type="nominal", sort=("b", "a")), tooltip=[alt.Tooltip("at:Q", format="~g"), "day:T"],
            color=alt.when(alt.datum.value > 0).then("name:N").otherwise(alt.value("gray")),
            opacity=alt.OpacityValue(0.1, condition={"param": "focus", "value": 1, "empty": True}),
            size=alt.condition(param, alt.Size("value:Q", legend=None), alt.SizeValue(3)),
        ),
        base.mark_text(dx=7).encode(
            y=alt.YDatum(3), text=alt.Text(field="name", type="nominal"), angle=alt.value(param)
        ),
    ]  # fmt: skip
    expected = alt.layer(*layers).to_dict()
    assert layered(*layers).to_dict() == expected
    assert stacked(layered(*layers)).to_dict(validate=False)["vconcat"][0]["layer"] == expected["layer"]
