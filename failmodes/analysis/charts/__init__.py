"""Charts of failure in Altair: one file a chart, their style beside them."""
