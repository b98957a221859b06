"""Object storage on the loopback interface: moto's server, with a gate that can close a bucket."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from unsprawl.errors import UnsprawlError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["CREDENTIALS", "S3Server", "s3_server"]

#: moto takes any pair; these are no keys of anyone.
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_DENIED: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message><BucketName>{}</BucketName></Error>"
)


class S3Server:
    """``closed`` buckets answer 403 to everything, as a policy that denies would."""

    def __init__(self, url: str, closed: set[str]) -> None:
        self.url = url
        self.closed = closed

    def client(self) -> Any:
        """A boto3 client for seeding. It knows nothing of the person's own configuration."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )


@contextlib.contextmanager
def s3_server(port: int = 0) -> Iterator[S3Server]:
    """Serve on 127.0.0.1 while the context is open, with empty storage. ``UnsprawlError`` without moto."""
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from moto.s3.models import s3_backends
        from werkzeug.serving import WSGIRequestHandler, make_server
    except ModuleNotFoundError as missing:
        raise UnsprawlError(
            f"the demonstration needs the package {missing.name}", hint="pip install 'unsprawl[demo]'"
        ) from None

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:
            """The demo prints its own story."""

    s3_backends.reset()
    closed: set[str] = set()
    app = _gate(DomainDispatcherApplication(create_backend_app), closed)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield S3Server(f"http://127.0.0.1:{server.server_port}", closed)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
        s3_backends.reset()


def _gate(app: Callable[..., Iterable[bytes]], closed: set[str]) -> Callable[..., Iterable[bytes]]:
    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        bucket = str(environ.get("PATH_INFO", "")).lstrip("/").partition("/")[0]
        if bucket not in closed:
            return app(environ, start)
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else _DENIED.format(escape(bucket)).encode()
        start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return guarded
