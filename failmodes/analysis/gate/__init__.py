"""A gate: rules about a network, what is shown of each, and how a pipeline is told of it."""
