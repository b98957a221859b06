"""Redis and Valkey: ``AUTH``, which answers yes or no and changes nothing. https://redis.io/docs/latest/commands/auth/"""

from __future__ import annotations

from unsprawl.records import Check, Validity
from unsprawl.validity.credential import unknown
from unsprawl.validity.line import Line
from unsprawl.validity.stream import Stream

__all__ = ["ask"]


def ask(line: Line, host: str, port: int, user: str, password: str) -> Check:
    """Log in, ask who one is, and leave."""
    who = user or "the default user"
    with line.connection(host, port, f"redis greeting at {host}:{port} as {who}") as plain:
        # Redis speaks TLS from the first byte or not at all.
        stream = Stream(plain if line.plain(host) else line.secure(plain, host))
        # With two words a user that has no password takes any; with one the server says that there is none.
        words = ["AUTH", password] if user in ("", "default") else ["AUTH", user, password]
        stream.send(_command(words))
        answer = stream.line()
        if answer == b"+OK":
            stream.send(_command(["PING"]))
            limited = stream.line().startswith(b"-NOPERM")
            privilege = "none: may not even greet" if limited else ""
            return Check(Validity.ACTIVE, f"{host} accepts the password of {who}", privilege)
    code = answer[1:].split(b" ")[0].decode("ascii", "replace")
    if answer.startswith((b"-WRONGPASS", b"-ERR invalid password")):
        return Check(Validity.INACTIVE, f"{host} refuses the password of {who}, or has disabled the user")
    if b"without any password configured" in answer or b"no password is set" in answer:
        return unknown(f"{host} asks {who} for no password")
    return unknown(f"{host} proves nothing ({code if code.isalpha() and code.isupper() else 'not Redis'})")


def _command(words: list[str]) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        raw = word.encode()
        parts += [f"${len(raw)}\r\n".encode(), raw, b"\r\n"]
    return b"".join(parts)
