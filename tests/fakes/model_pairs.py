"""A candidate in its document, as the classifier is given one."""

from __future__ import annotations

from unsprawl.records import Candidate, Document
from unsprawl.secret import Secret


def pair(
    value: bytes = b"horse7stable",
    before: bytes = b"a: 1\npassword = '",
    after: bytes = b"'\nb: 2\n",
    path: str = "app/config.py",
) -> tuple[Document, Candidate]:
    """A document of the three pieces, and the value between them as the candidate."""
    document = Document(uri=f"file:///{path}", path=path, body=before + value + after)
    start = len(before)
    found = Candidate(
        rule="generic.password",
        secret=Secret(value),
        start=start,
        end=start + len(value),
        line=2,
        column=1,
        line_end=2,
        before=before,
        text=value,
        after=after,
    )
    return document, found
