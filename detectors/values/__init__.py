"""Given values, looked for exactly: in every view of a content, and in every encoding."""
