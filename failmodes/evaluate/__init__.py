"""Evaluation of models on images: studies, models, training, attention, the engine, imported predictions."""
