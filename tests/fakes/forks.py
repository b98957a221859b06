"""Forks of a program that tests run: counted, or refused as a full system refuses them."""

from __future__ import annotations

import os

__all__ = ["counted", "fork", "made", "no_room"]

fork = os.fork
#: The processes that :func:`counted` has made.
made: list[int] = []


def counted() -> int:
    process = fork()
    if process:
        made.append(process)
    return process


def no_room() -> int:
    raise BlockingIOError(11, "Resource temporarily unavailable")
