"""What is measured of cells, curves and pairs of models as they are loaded, so that questions need not read rows.

`tables` says what is stored. Each measure is defined by the SQL of its name in `sql/measures`, over the rows; `cells`,
`curves` and `pairs` compute the same in NumPy, many times as fast, from rows that a load has at hand. Tests and
`failmodes status --full` compare the two.
"""
