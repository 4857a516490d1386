"""Property files: one per protocol, model, data set and experiment."""
