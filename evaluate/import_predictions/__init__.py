"""Predictions made elsewhere (ONNX, TensorFlow, an API): read, checked whole, and kept as an evaluation like any other.

The file is read once, batch by batch, into an anonymous scratch file cell by cell; nothing is published before every
row and every cell has been checked.
"""
