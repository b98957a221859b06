"""How fast unsprawl is, beside a peer and beside itself of yesterday. ``python -m benchmarks --help``."""
