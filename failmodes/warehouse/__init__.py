"""The contract and the store: columns, Parquet shards, the DuckDB warehouse, provenance, errors."""
