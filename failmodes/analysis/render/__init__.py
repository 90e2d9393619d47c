"""Blocks that results are made of, the text of numbers in them, and the formats that they are written in."""
