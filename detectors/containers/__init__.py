"""What holds content: archives, documents and compressed streams, unpacked within a budget."""
