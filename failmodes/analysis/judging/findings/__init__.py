"""Findings: statements that Failmodes proposes, one file a kind, registered by being there."""
