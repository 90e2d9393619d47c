"""A benchmark without a study file: models and images that are objects of this process, through the same engine."""
