"""What a network is: architectures, weights, classes, preprocessing, identity."""
