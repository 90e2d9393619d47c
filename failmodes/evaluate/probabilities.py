"""Bounds of probabilities in place of logits, in the outputs of models and in imported tables."""

import numpy as np

SUM_TOLERANCE = 1e-3  # for the sum of the probabilities of an image
FLOOR = float(np.finfo(np.float32).eps)  # for probabilities of 0: where scikit-learn's log_loss clips float32
