"""A candidate in its document, as the classifier is given one."""

from __future__ import annotations

from unsprawl.records import Candidate, Document
from unsprawl.secret import Secret


def pair(value=b"horse7stable", before=b"a: 1\npassword = '", after=b"'\nb: 2\n", path="app/config.py"):
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
