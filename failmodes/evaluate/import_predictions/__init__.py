"""Import of predictions made elsewhere (ONNX, TensorFlow, an API) as an evaluation.

Nothing is published before every row and every cell has been checked.
"""
