"""Layouts of data sets: a module each, which `layout.layouts` finds by being there."""
