"""The study file: its keys, their validation, reading and writing, and templates."""
