"""Class activation maps (Grad-CAM and others): the methods, and which of them a model allows, at which layer."""
