"""Class activation maps (Grad-CAM and its kin): how a map is made, and its statistics."""
