"""Polars and Altair over the warehouse: degradation shapes, charts, the report. Never imports torch."""
