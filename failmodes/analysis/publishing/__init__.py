"""Results as others read them: RobustBench's table, a Croissant description, a model card's snippet."""
