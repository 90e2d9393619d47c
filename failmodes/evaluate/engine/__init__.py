"""The evaluation engine: plans missing cells, runs models on images, and publishes complete shards."""
