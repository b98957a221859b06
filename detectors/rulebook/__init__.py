"""Rule files: read, checked, translated."""
