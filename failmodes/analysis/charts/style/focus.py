"""On a screen the pointer brings one model or corruption to the front: all else fades while it is over its points."""

import altair as alt

FOCUS, FADED = "focus", 0.15


def focus_opacity() -> alt.OpacityValue:
    """Opacity of a layer that fades while the pointer is over something else."""
    return alt.OpacityValue(FADED, condition={"param": FOCUS, "value": 1, "empty": True})


def pointed_layer(panel: int) -> str:
    """The name of the layer of a panel over whose marks the pointer chooses; Altair too numbers names by panel."""
    return f"points_{panel}"


def add_focus(chart: alt.VConcatChart, field: str, panels: int) -> alt.VConcatChart:
    """Let `field` decide what belongs together over all panels.

    Args:
        chart: the whole chart, changed in place.
        field: column that all its fading layers have, such as 'label' or 'corruption'.
        panels: how many have a layer of the name that `pointed_layer` gives.
    """
    select = alt.PointSelectionConfig("point", fields=[field], on="pointerover", clear="pointerout")
    views = [pointed_layer(panel) for panel in range(panels)]
    chart.params = [alt.TopLevelSelectionParameter(name=FOCUS, select=select, views=views)]
    return chart
