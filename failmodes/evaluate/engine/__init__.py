"""The run: what is missing, images through networks, rows out, published whole."""
