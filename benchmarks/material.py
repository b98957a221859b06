"""What corpora are made of: sentences from the Python documentation, log lines as machines write them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator

__all__ = ["LOG_KINDS", "log_lines", "message", "sentences"]

_HEX = "0123456789abcdef"
_PATHS = (
    "/api/v1/orders",
    "/api/v1/users/%d",
    "/healthz",
    "/static/app.%d.js",
    "/login",
    "/metrics",
    "/search?q=%d",
)
_PACKAGES = (
    "left-pad",
    "requests",
    "numpy",
    "serde",
    "tokio",
    "junit",
    "log4j-core",
    "react-dom",
    "webpack",
    "boto3",
)
_CLASSES = ("OrderService", "PaymentGateway", "SessionFilter", "InventoryWorker", "MailQueue", "CacheLoader")


def sentences() -> list[str]:
    """English prose of a technical kind that every Python brings along."""
    from pydoc_data.topics import topics

    text = " ".join(topics[name] for name in sorted(topics))
    text = re.sub(r"[*`\\|=+~^-]{2,}|\s+", " ", text)
    return [s.strip() for s in re.split(r"(?<=[.!?]) ", text) if 30 < len(s) < 240]


def message(draw: random.Random, prose: list[str], number: int, extra: str = "") -> str:
    """A chat message of about 1.2 kB as exports of messengers hold it: text, blocks, ids, reactions."""
    text = " ".join(draw.choices(prose, k=draw.choice((2, 2, 3, 4, 4))))
    if number % 9 == 0:
        text += f" see <https://git.acme.test/shop/commit/{draw.getrandbits(160):040x}|the commit>"
    if number % 23 == 0:
        text += (
            f"\n```{draw.choice(_CLASSES)}: id={draw.getrandbits(128):032x} took {draw.randrange(9000)} ms```"
        )
    text += extra
    user, ts = f"U{draw.getrandbits(40):010X}", f"{1700000000 + number}.{draw.randrange(10**6):06d}"
    body = {
        "type": "message",
        "user": user,
        "ts": ts,
        "client_msg_id": str(_uuid(draw)),
        "text": text,
        "team": "T02ACME9Z",
        "channel": f"C{number % 400:09d}",
        "thread_ts": ts,
        "reply_count": draw.randrange(9),
        "reactions": [{"name": "eyes", "users": [user], "count": 1}] if number % 3 else [],
        "edited": {"user": user, "ts": ts},
        "blocks": [
            {
                "type": "rich_text",
                "block_id": f"{draw.getrandbits(20):05x}",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}],
            }
        ],
    }
    return json.dumps(body, separators=(",", ":"))


def log_lines(kind: str, draw: random.Random, prose: list[str]) -> Iterator[str]:
    """Endless lines of one kind of log."""
    second = 1_750_000_000 + draw.randrange(10**6)
    line = LOG_KINDS[kind]
    while True:
        second += draw.randrange(2)
        yield line(draw, second, prose)


def _uuid(draw: random.Random) -> str:
    raw = f"{draw.getrandbits(128):032x}"
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


def _clock(second: int) -> str:
    day, hour, minute = second // 86400 % 28 + 1, second // 3600 % 24, second // 60 % 60
    return f"2026-05-{day:02d}T{hour:02d}:{minute:02d}:{second % 60:02d}"


def _ci(draw: random.Random, second: int, prose: list[str]) -> str:
    stamp = f"{_clock(second)}.{draw.randrange(10**7):07d}Z"
    match draw.randrange(6):
        case 0:
            return f"{stamp} ##[group]Run actions/setup@{draw.getrandbits(160):040x}"
        case 1:
            package = f"{draw.choice(_PACKAGES)}-{draw.randrange(9)}.{draw.randrange(30)}"
            return f"{stamp} Downloading {package}.tgz ({draw.randrange(9999)} kB)"
        case 2:
            return f"{stamp} \x1b[36;1mok\x1b[0m   test_{draw.randrange(10**5)} ({draw.randrange(9000)} ms)"
        case 3:
            return f"{stamp} sha256:{draw.getrandbits(256):064x} pushed"
        case 4:
            return f"{stamp} \x1b[33mwarning\x1b[0m: {draw.choice(prose)}"
        case _:
            package = f"{draw.choice(_PACKAGES)} v{draw.randrange(9)}.0"
            return f"{stamp} [{draw.randrange(900)}/900] Compiling {package}"


def _access(draw: random.Random, second: int, _: list[str]) -> str:
    path = draw.choice(_PATHS)
    path = path % draw.randrange(10**6) if "%d" in path else path
    host = f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}"
    status = draw.choice((200, 200, 200, 304, 404, 500))
    return (
        f'{host} - - [{_clock(second)}+0000] "GET {path} HTTP/1.1" {status} '
        f'{draw.randrange(10**5)} "-" "Mozilla/5.0 (X11; Linux x86_64)" {draw.random():.3f} {_uuid(draw)}'
    )


def _application(draw: random.Random, second: int, prose: list[str]) -> str:
    level = draw.choice(("INFO", "INFO", "DEBUG", "WARN", "ERROR"))
    where = draw.choice(_CLASSES)
    if level == "ERROR":
        return f"\tat com.acme.shop.{where}.process({where}.java:{draw.randrange(900)})"
    stamp = f"{_clock(second)},{draw.randrange(1000):03d}"
    return f"{stamp} {level} [worker-{draw.randrange(16)}] {where} - {draw.choice(prose)}"


def _structured(draw: random.Random, second: int, prose: list[str]) -> str:
    body = {
        "time": _clock(second) + "Z",
        "level": draw.choice(("info", "debug", "warn")),
        "trace_id": f"{draw.getrandbits(128):032x}",
        "span_id": f"{draw.getrandbits(64):016x}",
        "service": draw.choice(_CLASSES).lower(),
        "message": draw.choice(prose),
        "duration_ms": draw.randrange(5000),
    }
    return json.dumps(body)


LOG_KINDS: dict[str, Callable[[random.Random, int, list[str]], str]] = {
    "ci": _ci,
    "access": _access,
    "application": _application,
    "structured": _structured,
}
