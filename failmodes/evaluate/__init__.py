"""Models over images: models, training, prediction, attention, exemplars, the run loop."""
