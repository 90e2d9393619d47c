"""Predictions made elsewhere (ONNX, TensorFlow, an API): read, checked whole, and kept as an evaluation like any other.

Nothing is published before every row and every cell has been checked.
"""
