"""The run: what is missing, images through models, rows out, published whole."""
