"""How each type of channel is told: one function a type, which sends one message or raises why not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from unsprawl.alert_settings import Apprise, ChannelSettings, Email, Jira, Slack, Webhook
from unsprawl.alerts import messages
from unsprawl.alerts.post import send
from unsprawl.config import ConfiguredChannel, resolve
from unsprawl.errors import ConfigError, RetryableError, UnreadableError
from unsprawl.store.outbox import Waiting
from unsprawl.wire import hosts

__all__ = ["SIGNATURE", "sender", "signature"]

#: The header of a signed webhook: ``t=SECONDS,v1=HEX``.
SIGNATURE: Final = "x-unsprawl-signature"
#: Seconds that a mail server has for each answer.
_TIMEOUT: Final = 15.0
_JSON: Final = {"content-type": "application/json"}

Sender = Callable[[Sequence[Waiting]], None]


def sender(channel: ConfiguredChannel) -> Sender:
    """What sends one message of ``channel``. Its references are resolved now (``ConfigError``)."""
    place = f"notify.{channel.name}"
    kinds: dict[type[ChannelSettings], Callable[[Any, str], Sender]] = {
        Webhook: _webhook,
        Slack: _slack,
        Email: _email,
        Jira: _jira,
        Apprise: _apprise,
    }
    return kinds[type(channel.settings)](channel.settings, place)


def signature(secret: bytes, moment: int, content: bytes) -> str:
    """HMAC-SHA256 over ``SECONDS.BODY``: a receiver refuses what is old, or signed with another secret."""
    code = hmac.new(secret, b"%d." % moment + content, hashlib.sha256).hexdigest()
    return f"t={moment},v1={code}"


def _webhook(settings: Webhook, place: str) -> Sender:
    url = resolve(settings.url, f"{place}.url").reveal().decode()
    secret = resolve(settings.secret, f"{place}.secret").reveal() if settings.secret else b""

    def tell(events: Sequence[Waiting]) -> None:
        said = [{"event": event.kind, "id": event.name, **event.payload} for event in events]
        whole = said[0] if len(said) == 1 else {"event": "digest", "id": _name(events), "events": said}
        content = msgspec.json.encode({"version": 1, "title": messages.subject(events), **whole})
        headers = {**_JSON, "idempotency-key": str(whole["id"])}
        if secret:
            headers[SIGNATURE] = signature(secret, int(time.time()), content)
        send("POST", url, headers=headers, content=content)

    return tell


def _slack(settings: Slack, place: str) -> Sender:
    url = resolve(settings.url, f"{place}.url").reveal().decode()

    def tell(events: Sequence[Waiting]) -> None:
        # Unfurling would fetch addresses that strangers wrote.
        said = {"text": messages.slack_text(events), "unfurl_links": False, "unfurl_media": False}
        send("POST", url, headers=_JSON, content=msgspec.json.encode(said))

    return tell


def _email(settings: Email, place: str) -> Sender:
    import smtplib
    import ssl
    from email.message import EmailMessage

    if settings.encryption == "none" and not hosts.is_loopback(settings.host):
        raise ConfigError(
            f"{place}: mail without encryption", hint="use starttls or tls; none is for loopback"
        )
    password = resolve(settings.password, f"{place}.password").reveal().decode() if settings.password else ""

    def tell(events: Sequence[Waiting]) -> None:
        mail = EmailMessage()
        mail["Subject"] = messages.subject(events)[:200]
        mail["From"] = settings.sender
        mail["To"] = ", ".join(settings.to)
        # The same message sent again has the same id: mail stores drop the copy.
        mail["Message-ID"] = f"<{hashlib.sha256(_name(events).encode()).hexdigest()[:32]}@unsprawl.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(messages.text(events))
        context = ssl.create_default_context()
        try:
            if settings.encryption == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    settings.host, settings.port, timeout=_TIMEOUT, context=context
                )
            else:
                server = smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT)
            with server:
                if settings.encryption == "starttls":
                    server.starttls(context=context)
                if settings.user:
                    server.login(settings.user, password)
                server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise RetryableError(f"{settings.host} did not take the mail ({type(error).__name__})") from None

    return tell


def _jira(settings: Jira, place: str) -> Sender:
    base = hosts.base_url(settings.url)
    token = resolve(settings.token, f"{place}.token").reveal()
    if settings.user:
        word = "Basic " + base64.b64encode(settings.user.encode() + b":" + token).decode()
    else:
        word = f"Bearer {token.decode()}"
    headers = {**_JSON, "authorization": word, "accept": "application/json"}
    # Cloud searches in its own way; the rest of version 2 is the same on both.
    search = f"{base}/rest/api/{'3/search/jql' if settings.user else '2/search'}"

    def tell(events: Sequence[Waiting]) -> None:
        for event in events:
            _issue(event)

    def _issue(event: Waiting) -> None:
        finding = event.payload.get("finding")
        label = f"unsprawl-{finding or event.name.replace(':', '-')}"
        body = messages.text([event])
        key = found(label)
        if key is None and event.kind != "closed":
            fields = {
                "project": {"key": settings.project},
                "issuetype": {"name": settings.issue_type},
                "summary": messages.title(event)[:250],
                "description": _noformat(body),
                "labels": ["unsprawl", label],
            }
            send(
                "POST",
                f"{base}/rest/api/2/issue",
                headers=headers,
                content=msgspec.json.encode({"fields": fields}),
            )
        elif key is not None and event.kind != "new":
            comment = msgspec.json.encode({"body": _noformat(body)})
            send("POST", f"{base}/rest/api/2/issue/{quote(key)}/comment", headers=headers, content=comment)

    def found(label: str) -> str | None:
        jql = f'project = "{settings.project}" AND labels = "{label}" ORDER BY created ASC'
        answer = send("GET", f"{search}?jql={quote(jql)}&maxResults=1&fields=key", headers=headers)
        try:
            issues = json.loads(answer.body)["issues"]
            return str(issues[0]["key"]) if issues else None
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            raise UnreadableError(f"{hosts.origin(base)[1]} answered no search result") from None

    return tell


def _apprise(settings: Apprise, place: str) -> Sender:
    try:
        import apprise
    except ImportError:
        raise ConfigError(
            f"{place} needs the package apprise", hint="pip install 'unsprawl[apprise]'"
        ) from None
    told = apprise.Apprise()
    if not told.add(resolve(settings.url, f"{place}.url").reveal().decode()):
        raise ConfigError(f"{place}: apprise does not know such an address")

    def tell(events: Sequence[Waiting]) -> None:
        if not told.notify(title=messages.subject(events), body=messages.text(events)):
            raise RetryableError("apprise could not deliver it")

    return tell


def _name(events: Sequence[Waiting]) -> str:
    """One name for a message: that of its event, or of all its events together."""
    if len(events) == 1:
        return events[0].name
    return "digest:" + hashlib.sha256("\n".join(event.name for event in events).encode()).hexdigest()[:24]


def _noformat(text: str) -> str:
    """Wiki markup that is shown as it is: found text can neither link nor mention."""
    return "{noformat}\n" + text.replace("{", "(").replace("}", ")") + "\n{noformat}"
