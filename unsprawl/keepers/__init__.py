"""Where secrets are kept on purpose: read once, so that a leaked one can be told by its path."""
