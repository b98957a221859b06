"""Which kind of place a document is: told by its address, else by its path."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from unsprawl.models.together import Together
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
#: The first that is found in a path counts.
_PATHS: Final = {
    "notebook": r"\.ipynb$",
    "mail": r"\.(?:eml|mbox|msg)(?:$|!)",
    "database": r"\.(?:sqlite3?|db|sql|dump)(?:$|!)",
    "shell": r"history$|\.(?:sh|bash|zsh|ps1|bat|cmd|fish)$",
    "ci": r"\.log(?:\.\d+)?$|(?:^|/)(?:consoletext|build|job)[^/]*\.txt$|(?:^|/)logs?/",
    "chat": r"(?:^|/)(?:slack|chat|channels?|threads?|irc|mattermost|teams)[/_.-]",
    "issue": r"(?:^|/)(?:issues?|tickets?|jira|bugs?)[/_.-]",
    "wiki": r"(?:^|/)(?:wiki|confluence|runbooks?|pages)[/_.-]",
    "docs": r"\.(?:md|rst|adoc|txt|html?|tex|pod|\d)$|(?:^|/)(?:docs?|readme|changelog)",
    "config": r"\.(?:ya?ml|json|toml|ini|cfg|conf|cnf|properties|env|xml|tf|tfvars|plist|lock)$"
    r"|(?:^|/)\.?env|dockerfile",
}
_OF_PATH: Final = tuple(_PATHS)
_ASKED: Final = Together(*_PATHS.values(), utf8=True)


def surface_of(document: Document, path: str) -> str:
    """One of ``SURFACES``."""
    return _SCHEMES.get(document.uri.partition("://")[0]) or _by_path(path)


@lru_cache(4096)
def _by_path(path: str) -> str:
    found = _ASKED(path.lower().encode("utf-8", "replace"))
    return _OF_PATH[min(found)] if found else "source"
