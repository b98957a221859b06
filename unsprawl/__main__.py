"""``python -m unsprawl``."""

from __future__ import annotations

import sys

from unsprawl.cli import main

if __name__ == "__main__":
    sys.exit(main())
