"""Models: architectures, weights, classes, preprocessing, identity."""
