"""Findings: statements that Failmodes proposes, one module per kind, registered by its place in this folder."""
