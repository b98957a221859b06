"""How a server of ours speaks HTTP: quietly, at once, and every method the same way."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

__all__ = ["Handler"]


class Handler(BaseHTTPRequestHandler):
    """Subclasses answer in ``_serve`` whatever is asked; ``self.command`` is the method."""

    protocol_version = "HTTP/1.1"
    # Headers and body in two small packets would wait for each other.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Requests are kept by the server, not printed."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _serve(self) -> None:
        """Answer what was asked."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()
