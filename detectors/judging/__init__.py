"""Which matches are credentials: the words around them, offline checks, what people choose."""
