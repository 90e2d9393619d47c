"""Charts in Altair: one module per chart; shared style in `style`."""
