"""Whether this process may be copied in the midst of its work."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["may_fork"]


def may_fork() -> bool:
    """On Linux, while no other thread runs: beside one a copy may wait for a lock for ever."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    with suppress(OSError):
        return len(list(Path("/proc/self/task").iterdir())) == 1
    return False
