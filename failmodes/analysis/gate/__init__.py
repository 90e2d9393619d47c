"""A gate: rules about a model, what is shown of each, and how a pipeline is told of it."""
