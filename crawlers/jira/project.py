"""Projects and saved searches as documents."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from unsprawl.crawlers.jira.api import JiraApi
from unsprawl.crawlers.jira.text import labelled, person, plain
from unsprawl.records import Audience, Document

__all__ = ["filter_document", "project_document", "project_version"]


def project_version(project: Mapping[str, Any]) -> str:
    """Of what the list of projects tells: the rest is read again when that changes, or with everything."""
    return _digest("\n".join(str(project.get(key) or "") for key in ("name", "description", "url")))


def project_document(api: JiraApi, uri: str, project: Mapping[str, Any], audience: Audience) -> Document:
    """Name, description, address, components and versions, properties. Raises ``SourceError``."""
    key = str(project.get("key"))
    lines = [str(project.get(name)) for name in ("name", "description", "url") if project.get(name)]
    whole = api.project(key)
    if whole.get("email"):
        lines.append(str(whole["email"]))
    for kind in ("components", "versions"):
        lines += [
            labelled(str(one.get("name")), str(one["description"]))
            for one in whole.get(kind) or ()
            if isinstance(one, dict) and one.get("description")
        ]
    properties = api.project_properties(key)
    lines += [labelled(name, plain(value)) for name, value in sorted(properties.items())]
    text = "\n".join(lines)
    return Document(
        uri=uri,
        body=text.encode("utf-8", "replace"),
        path=key,
        media_type="text/plain",
        key=uri,
        version=project_version(project),
        url=f"{api.site.base}/browse/{key}",
        author=person(whole.get("lead")),
        audience=audience,
        attrs={"project": key},
    )


def filter_document(api: JiraApi, uri: str, one: Mapping[str, Any], audience: Audience) -> Document:
    """A saved search: name, description, query."""
    texts = (str(one.get(key)) for key in ("name", "description", "jql") if one.get(key))
    text = "\n".join(texts)
    return Document(
        uri=uri,
        body=text.encode("utf-8", "replace"),
        path=f"filters/{one.get('name') or one.get('id')}",
        media_type="text/plain",
        key=uri,
        version=_digest(text),
        url=f"{api.site.base}/issues/?filter={one.get('id')}",
        author=person(one.get("owner")),
        audience=audience,
    )


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()
