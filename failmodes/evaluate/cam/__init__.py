"""Class activation maps (Grad-CAM and others): the methods, and the selection of method and layer for a model."""
