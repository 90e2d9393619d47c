"""Metrics: each defined once, as one object with one function, in a file for each family.

`metric` says what a metric is, `registry` finds all of them, `cell_rows` is what they are functions of, `intervals` and
`sampling_bias` what their intervals are made of. `tables` and `cell_tables` are what a load stores beside them.
"""
