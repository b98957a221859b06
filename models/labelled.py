"""A labelled corpus of lines: one JSON object a line, as docs/classifier.md describes it.

Rows stay as they are. Whole repositories are kept for development, told by their name's hash, so that
no reader of the file can mix the two by accident.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unsprawl.errors import ConfigError
from unsprawl.records import Document
from unsprawl.structs import Struct

__all__ = ["Row", "data_hash", "is_development", "read"]

_FOLDS: Final = 5
#: Kinds of values that identify and open nothing: left out of the core figures.
_IDENTIFIERS: Final = frozenset({"UUID", "Nonce", "Salt", "AWS S3 Bucket", "Firebase Domain"})


class Row(Struct, frozen=True):
    """One labelled line with the lines around it.

    ``label`` is T (a credential), F (none) or X (a test value, example or placeholder). The labelled
    line is ``document.body[start:end]``; ``value`` is the labelled value's span in the body.
    """

    id: str
    repository: str
    document: Document
    start: int
    end: int
    value: tuple[int, int]
    label: str
    category: str

    @property
    def is_core(self) -> bool:
        """Whether the value is more than an identifier."""
        return not _IDENTIFIERS & set(self.category.split(":"))

    @property
    def place(self) -> tuple[str, str, bytes]:
        """The line that the label speaks of: several rows may label values of one line."""
        assert isinstance(self.document.body, bytes)
        return self.repository, self.document.path, self.document.body[self.start : self.end]

    @property
    def text(self) -> bytes:
        """The labelled value."""
        assert isinstance(self.document.body, bytes)
        return self.document.body[self.value[0] : self.value[1]]


def is_development(repository: str, fold: int = 0) -> bool:
    """Whether a repository (its hash in hexadecimal) is kept out of training; ``fold`` for studies."""
    return int(repository[:8], 16) % _FOLDS == fold


def data_hash(path: Path) -> str:
    """What a model card names a corpus by."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read(path: Path) -> Iterator[Row]:
    """The rows of a ``.jsonl`` or ``.jsonl.zst`` file. Raises ``ConfigError`` when it is none."""
    try:
        data = path.read_bytes()
        if path.suffix == ".zst":
            import zstandard

            with zstandard.ZstdDecompressor().stream_reader(data) as stream:
                data = stream.read()
        for line in data.splitlines():
            yield _row(json.loads(line))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no labelled corpus", hint="docs/classifier.md has its form") from error


def _row(fields: dict[str, object]) -> Row:
    line = str(fields["line"])
    first, last = int(str(fields["value_start"])), int(str(fields["value_end"]))
    above = "".join(f"{one}\n" for one in _lines(fields["before"]))
    below = "".join(f"{one}\n" for one in _lines(fields["after"]))
    start = len(above.encode())
    body = f"{above}{line}\n{below}".encode()
    path = str(fields["path"])
    value = (start + len(line[:first].encode()), start + len(line[:last].encode()))
    return Row(
        id=str(fields["id"]),
        repository=str(fields["repo_hash"]),
        document=Document(uri=f"file:///{path}", path=path, body=body),
        start=start,
        end=start + len(line.encode()),
        value=value,
        label=str(fields["label"]),
        category=str(fields["category"]),
    )


def _lines(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(one) for one in value]
