"""Commands that read a warehouse."""
