"""Results: Parquet files with an identity and a content hash in their footer."""
