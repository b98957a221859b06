"""Feeds looked at again and again, and what they have to do with us."""
