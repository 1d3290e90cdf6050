"""Little Tales: the project's own small language model, from grammar to checkpoint."""
