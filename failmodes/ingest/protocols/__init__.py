"""Protocols of published numbers: one TOML file each."""
