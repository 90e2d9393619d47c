"""A benchmark without a study file: networks and images that are objects of this process, through the same engine."""
