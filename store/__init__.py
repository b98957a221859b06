"""What is remembered: findings and their places, the coverage ledger, cursors, and the keys that guard them.

SQLite (WAL) through sqlite-utils. Nothing here holds a value in clear: texts arrive redacted, values sealed.
"""
