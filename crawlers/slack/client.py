"""Slack's Web API through slack-sdk, which builds and reads the requests, over the wire, which carries them.

The SDK alone would follow redirects with the token, read answers of any size, log what it reads and know no
``Retry-After`` but whole seconds; :mod:`unsprawl.wire` does none of this. The token goes to the API's own
origin, and for files to Slack's hosts.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import urlsplit

from unsprawl.crawlers.slack.faults import refusal
from unsprawl.crawlers.slack.pace import MethodPaces, TierPace
from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.secret import Secret
from unsprawl.wire import hosts
from unsprawl.wire.client import Client, Fixed
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import Again, Patience
from unsprawl.wire.stream import open_stream

if TYPE_CHECKING:
    from urllib.request import Request

    from slack_sdk import WebClient

__all__ = ["SLACK_API", "Answer", "SlackClient"]

SLACK_API: Final = "https://slack.com/api"
#: Hosts that belong to Slack: commercial and government.
_SLACK_HOST = re.compile(r"(?:[a-z0-9-]+\.)*(?:slack\.com|slack-gov\.com|slack-files\.com|slack-edge\.com)\Z")
#: A page of a thousand long messages with their blocks.
_LARGEST_ANSWER: Final = 96 << 20
#: Seconds between two downloads from Slack, whose limit is not published.
_DOWNLOADS: Final = 0.1
#: Pages of one listing: far beyond any workspace, short of an endless loop.
_MOST_PAGES: Final = 100_000

# The SDK writes what it reads into its log, whatever the level: it gets a logger that says nothing.
_silent = logging.getLogger("unsprawl.slack.sdk")
_silent.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method answered. Header names are in lower case."""

    data: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def objects(self, key: str) -> list[dict[str, Any]]:
        """The objects of a list; what is none is left out."""
        value = self.data.get(key)
        return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []

    @property
    def next_cursor(self) -> str:
        metadata = self.data.get("response_metadata")
        cursor = metadata.get("next_cursor") if isinstance(metadata, dict) else ""
        return cursor if isinstance(cursor, str) else ""


class SlackClient:
    """One token at one API. Threads share it, and with it the limits."""

    def __init__(
        self, base_url: str, token: Secret, *, patience: Patience, file_hosts: tuple[str, ...] = ()
    ) -> None:
        self.base = hosts.base_url(base_url)
        self.patience = patience
        self._credentials = Fixed({"authorization": f"Bearer {token.text()}"})
        self._file_hosts = file_hosts
        self._paces = MethodPaces(known=self.is_slack)
        self._wires: dict[str, Client] = {}
        self._lock = Lock()
        self._web: WebClient | None = None

    @property
    def is_slack(self) -> bool:
        """Whether the API is Slack's own."""
        return _SLACK_HOST.match(hosts.origin(self.base)[1]) is not None

    @property
    def requests(self) -> Counter[str]:
        """Requests of each method, refused ones too."""
        return self._paces.asked

    def pace(self, method: str) -> TierPace:
        return self._paces.of(method)

    def call(self, method: str, **params: str | int) -> Answer:
        """POST one method. Raises what the answer means, see :mod:`unsprawl.crawlers.slack.faults`."""
        return self.patience.run(partial(self._attempt, method, params))

    def pages(self, method: str, key: str, **params: str | int) -> Iterator[list[dict[str, Any]]]:
        """Page by page, the objects below ``key``. A cursor that expired begins the listing anew.

        Raises ``UnreadableError`` where the listing runs in a circle.
        """
        cursor, used, restarted = "", set[str](), False
        for _ in range(_MOST_PAGES):
            try:
                answer = self.call(method, **params, **({"cursor": cursor} if cursor else {}))
            except UnreadableError as error:
                if not cursor or restarted or "invalid_cursor" not in error.message:
                    raise
                cursor, used, restarted = "", set(), True
                continue
            yield answer.objects(key)
            cursor = answer.next_cursor
            if not cursor:
                return
            if cursor in used:
                break
            used.add(cursor)
        raise UnreadableError(f"{method} lists in a circle", hint="what came before was read")

    def trusts(self, url: str) -> bool:
        """Whether the token may be sent to ``url``: what a file says of its address is not ours."""
        scheme, host, port = hosts.origin(url)
        # This machine goes by several names; another port is somebody else.
        home = hosts.same_host(url, self.base) and port == hosts.origin(self.base)[2]
        if home or host in self._file_hosts:
            return scheme == "https" or self.base.startswith("http://")
        return self.is_slack and scheme == "https" and _SLACK_HOST.match(host) is not None

    def download(self, url: str, offset: int = 0) -> BinaryIO:
        """A file's content from ``offset`` on, as a stream that survives broken connections."""
        if not self.trusts(url):
            host = hosts.origin(url)[1] or "nowhere"
            raise UnreadableError(f"the file lies on {host}, which is not Slack: the token is not sent there")
        parts = urlsplit(url)
        wire = self._wire(f"{parts.scheme}://{parts.netloc}", Pace(_DOWNLOADS if self.is_slack else 0.0))
        return open_stream(wire, url, offset, what="the file")

    def close(self) -> None:
        with self._lock:
            for wire in self._wires.values():
                wire.close()

    # --- one request -----------------------------------------------------------------------------

    def _attempt(self, method: str, params: Mapping[str, str | int]) -> Answer:
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            response = self._sdk().api_call(method, params=dict(params))
            data = response.data
        except SlackApiError as error:
            response = error.response
            data = response.data if isinstance(response.data, dict) else {}
            fault = refusal(method, data, response.status_code)
            if isinstance(fault, RetryableError):
                raise Again(fault) from None
            raise fault from None
        except SlackClientError:
            raise UnreadableError(f"{method}: the answer is not one of Slack", hint=_NO_SLACK) from None
        except RecursionError:
            raise UnreadableError(f"{method}: the answer is nested too deeply") from None
        if not isinstance(data, dict):
            raise UnreadableError(f"{method}: the answer is not one of Slack", hint=_NO_SLACK)
        return Answer(data, response.headers)

    def _sdk(self) -> WebClient:
        with self._lock:
            if self._web is None:
                self._web = _web_client(self.base, self._send)
            return self._web

    def _send(self, url: str, request: Request) -> dict[str, Any]:
        """Carry what the SDK has built. The token is given by the wire, to this origin alone."""
        method = url.rpartition("/")[2]
        headers = {name: value for name, value in request.header_items() if name.lower() != "authorization"}
        content = request.data if isinstance(request.data, bytes) else b""
        self._paces.choose(method)
        answer = self._wire(self.base, self._paces).request(
            "POST", url, headers=headers, content=content, limit=_LARGEST_ANSWER
        )
        if hosts.origin(answer.url) != hosts.origin(self.base):
            raise UnreadableError(
                f"{method}: the server points to another host: not followed", hint=_NO_SLACK
            )
        body = answer.body.decode("utf-8", "replace")
        if not body.lstrip()[:1] == "{":
            raise UnreadableError(
                f"{method}: the answer is not one of Slack ({answer.status})", hint=_NO_SLACK
            )
        return {"status": answer.status, "headers": answer.headers, "body": body}

    def _wire(self, base: str, pace: Pace) -> Client:
        with self._lock:
            if base not in self._wires:
                self._wires[base] = Client(
                    base, credentials=self._credentials, patience=self.patience, pace=pace
                )
            return self._wires[base]


_NO_SLACK: Final = "is base_url the address of the Web API?"


def _web_client(base: str, send: Any) -> WebClient:
    """The SDK's client with our transport below it."""
    from slack_sdk import WebClient

    class Wired(WebClient):
        def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
            answer: dict[str, Any] = send(url, req)
            return answer

    return Wired(token=None, base_url=f"{base}/", logger=_silent, retry_handlers=[], proxy="unused")
