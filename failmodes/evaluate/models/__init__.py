"""Networks: architectures, weights, classes, preprocessing, identity."""
