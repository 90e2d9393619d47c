"""The study file: its keys, their checks, how it is read, and templates to begin with."""
