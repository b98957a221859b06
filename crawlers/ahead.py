"""Fetching ahead: the next small things arrive while the present one is examined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    pool: Executor,
    items: Iterable[Item],
    fetch: Callable[[Item], Result],
    size_of: Callable[[Item], int],
    *,
    largest: int,
    most: int,
    budget: int,
) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Each item in its order, with a call that gives what ``fetch`` gave, or raises as it did.

    At most ``most`` items and ``budget`` bytes are fetched and not yet taken. What is larger than
    ``largest`` bytes is fetched when its result is asked for, with nothing else in memory.
    """
    waiting: deque[tuple[int, Item, Callable[[], Result]]] = deque()
    held = 0
    for item in items:
        size = size_of(item)
        large = size > largest
        while waiting and (large or len(waiting) >= most or held + size > budget):
            taken, earlier, result = waiting.popleft()
            held -= taken
            yield earlier, result
        if large:
            yield item, partial(fetch, item)
        else:
            waiting.append((size, item, pool.submit(fetch, item).result))
            held += size
    for _, earlier, result in waiting:
        yield earlier, result
