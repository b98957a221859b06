"""What is scanned besides the bytes as they stand: texts made from them, each with a map back."""
