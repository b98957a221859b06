"""Reports over a period: what is open, what changed, how long it took, what was read."""
