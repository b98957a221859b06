"""A small organisation that lives on the loopback interface, with secrets planted where people leave them."""
