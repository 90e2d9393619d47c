"""Metrics: each defined once, as one object with one function, in a file for each family.

`metric` says what a metric is and finds all of them, `cell_rows` is what they are functions of, `intervals` what their
intervals are made of. `cell_tables` is what a load stores beside them.
"""
