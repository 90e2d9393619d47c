"""The DuckDB warehouse: loading, connections, views, checks, queries."""
