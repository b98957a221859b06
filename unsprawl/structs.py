"""What values are made of: msgspec's ``Struct``, defined and filled at a tenth of a dataclass's cost.

msgspec asks for ``typing_extensions``, which takes longer to load than all else of it. What it wants there
Python itself has since 3.11, and where that package is missing it takes that; so it finds it missing here.
Whoever imports msgspec before this module has merely waited longer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

__all__ = ["Guarded", "Struct", "field", "replace"]


@contextmanager
def _without(module: str) -> Iterator[None]:
    """A module that nobody has loaded yet cannot be imported in here."""
    modules = cast(dict[str, Any], sys.modules)
    if module in modules:
        yield
        return
    modules[module] = None
    try:
        yield
    finally:
        del modules[module]


with _without("typing_extensions"):
    from msgspec import Struct, field
    from msgspec.structs import replace


class Guarded(Struct, frozen=True):
    """A value that prints without its ``unseen`` fields, wherever it is printed."""

    unseen: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.unseen]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={it!r}' for name, it in self.__rich_repr__())})"
