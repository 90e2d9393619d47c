"""Statements judged by the data, and what is stored of them."""
