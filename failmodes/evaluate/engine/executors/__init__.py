"""Who does the tasks of a run: this process, several on this machine, or a Ray cluster."""
