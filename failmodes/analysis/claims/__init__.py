"""Claims of a study: each judged on its networks, stored, shown as a table."""
