"""Claims of a study: each judged on its models, stored, shown as a table."""
