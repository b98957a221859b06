"""How unsprawl speaks HTTP: patience, pacing, and credentials that never leave their host."""
