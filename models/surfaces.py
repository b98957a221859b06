"""Which kind of place a document is: told by its address, else by its path."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from unsprawl.records import Document

__all__ = ["SURFACES", "surface_of"]

SURFACES: Final = (
    "source", "config", "ci", "chat", "issue", "wiki", "mail", "docs", "shell", "notebook", "database",
)  # fmt: skip
#: What a crawler's addresses begin with.
_SCHEMES: Final = {
    "slack": "chat",
    "jira": "issue",
    "confluence": "wiki",
    "ci": "ci",
    "github": "ci",
    "gitlab": "ci",
    "jenkins": "ci",
    "mail": "mail",
}
_PATHS: Final = (
    ("notebook", re.compile(r"\.ipynb$")),
    ("mail", re.compile(r"\.(?:eml|mbox|msg)(?:$|!)")),
    ("database", re.compile(r"\.(?:sqlite3?|db|sql|dump)(?:$|!)")),
    ("shell", re.compile(r"history$|\.(?:sh|bash|zsh|ps1|bat|cmd|fish)$")),
    ("ci", re.compile(r"\.log(?:\.\d+)?$|(?:^|/)(?:consoletext|build|job)[^/]*\.txt$|(?:^|/)logs?/")),
    ("chat", re.compile(r"(?:^|/)(?:slack|chat|channels?|threads?|irc|mattermost|teams)[/_.-]")),
    ("issue", re.compile(r"(?:^|/)(?:issues?|tickets?|jira|bugs?)[/_.-]")),
    ("wiki", re.compile(r"(?:^|/)(?:wiki|confluence|runbooks?|pages)[/_.-]")),
    ("docs", re.compile(r"\.(?:md|rst|adoc|txt|html?|tex|pod|\d)$|(?:^|/)(?:docs?|readme|changelog)")),
    (
        "config",
        re.compile(
            r"\.(?:ya?ml|json|toml|ini|cfg|conf|cnf|properties|env|xml|tf|tfvars|plist|lock)$|(?:^|/)\.?env|dockerfile"
        ),
    ),
)


def surface_of(document: Document, path: str) -> str:
    """One of ``SURFACES``."""
    return _SCHEMES.get(document.uri.partition("://")[0]) or _by_path(path)


@lru_cache(4096)
def _by_path(path: str) -> str:
    path = path.lower()
    return next((surface for surface, pattern in _PATHS if pattern.search(path)), "source")
