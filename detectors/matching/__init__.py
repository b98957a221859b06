"""Patterns to matches: the automaton, its fallback, the confirmation."""
