"""Layouts of datasets, one module each; `layout.layouts` imports all of them."""
