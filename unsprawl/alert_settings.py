"""What can be said under ``notify``: the channels that people and machines are told by."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from unsprawl.references import Reference

__all__ = ["SETTINGS", "Apprise", "ChannelSettings", "Email", "Jira", "Slack", "Webhook"]

#: What can be told. ``leak`` comes from `watch`, the rest from every job with a store.
Kind: TypeAlias = Literal["new", "active", "reopened", "closed", "incomplete", "leak"]

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all channels take.

    ``name`` tells two channels of one type apart. ``on`` is what is told, ``min_severity`` the least severity
    of a finding that is. ``send``: a message for each event, or one for all of a job; ``limit`` is how many
    messages of their own one job may send, what is beyond comes in one.
    """

    name: _Name | None = None
    on: tuple[Kind, ...] = ("new", "active", "reopened", "incomplete", "leak")
    min_severity: Literal["low", "medium", "high", "critical"] = "medium"
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    send: Literal["each", "digest"] = "digest"


class Webhook(ChannelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JSON to an address of yours, an event a request; ``secret`` signs each (docs/alerts.md)."""

    url: Reference
    secret: Reference | None = None
    send: Literal["each", "digest"] = "each"


class Slack(ChannelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An incoming webhook of Slack; its address is a credential, so it is a reference."""

    url: Reference


class Email(ChannelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mail through ``host``: TLS from the start (``tls``), after STARTTLS, or, on loopback only, none."""

    host: _Text
    sender: _Text
    to: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: Reference | None = None


class Jira(ChannelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An issue a finding in ``project``, found again by its label; later events become comments.

    With ``user`` the token is one of Atlassian Cloud, without it a personal one of a Data Center.
    """

    url: _Text
    project: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    token: Reference
    user: str | None = None
    issue_type: _Text = "Task"
    on: tuple[Kind, ...] = ("new", "active", "reopened", "closed", "leak")
    send: Literal["each"] = "each"


class Apprise(ChannelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whatever Apprise reaches (extra ``apprise``): ``url`` is one of its addresses."""

    url: Reference


#: By the ``type`` that is written in the configuration.
SETTINGS: Final[dict[str, type[ChannelSettings]]] = {
    "webhook": Webhook,
    "slack": Slack,
    "email": Email,
    "jira": Jira,
    "apprise": Apprise,
}
