"""E-mail as it is stored: one message or a mailbox, the parts that an encoding hides, the attachments.

A message is scanned as it stands; parts in plain text are found there. What is sent as base64 or
quoted-printable is decoded and becomes a member, and an attachment may hold others.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf, Pieces, placed
from unsprawl.detectors.containers.streams import Reader, over
from unsprawl.structs import Struct

# The library is loaded by the first mail: most scans meet none.
if TYPE_CHECKING:
    from email.message import Message

__all__ = ["looks_like_mail", "mails"]

#: Bytes of one message that are held, of one header block that is parsed, and of one line of it.
_HELD: Final = 48 << 20
_HEADERS: Final = 64 << 10
_FIELD: Final = 8 << 10
#: Parts of one message, and levels of parts within parts.
_PARTS: Final = 2000
_LEVELS: Final = 20
#: Characters of a part's name that are shown.
_NAME: Final = 200

_SENT: Final = (
    rb"(?:from|received|return-path|mime-version|delivered-to|message-id|date|subject|to|reply-to|sender"
    rb"|content-type|content-transfer-encoding|dkim-signature|arc-[a-z-]+|authentication-results|x-[a-z0-9-]+"
    rb"|list-[a-z-]+|in-reply-to|references|status|user-agent|thread-[a-z]+|cc|bcc|envelope-to)"
)
_FIRST: Final = re.compile(rb"(?:\xef\xbb\xbf)?" + _SENT + rb":[ \t]*[^\s]", re.IGNORECASE)
_HEADER: Final = re.compile(
    rb"^(from|received|return-path|mime-version|message-id|date|subject|to)[ \t]?:",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINE: Final = re.compile(rb"[!-9;-~]{1,80}[ \t]?:|[ \t]")
#: The line before a message in a mailbox ends with a date.
_ENVELOPE: Final = re.compile(
    rb"From [^\r\n]{1,300}? \d\d:\d\d(?::\d\d)?[^\r\n]{0,20}? \d{4}[^\r\n]{0,20}\r?\n[!-9;-~]{1,80}:"
)
_NEXT: Final = re.compile(rb"\n" + _ENVELOPE.pattern)
_ENCODED: Final = re.compile(
    rb"^content-transfer-encoding[ \t]*:\s*[\"']?(?:base64|quoted-printable|x-uu)|=\?[^\s?]{1,40}\?[bq]\?",
    re.IGNORECASE | re.MULTILINE,
)
_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n")
_NO_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
#: Others either need no decoding or take more than linear time.
_CHARSET: Final = re.compile(
    r"(?:utf|iso|windows|cp|latin|big5|gb|euc|shift|koi8|mac|hz|johab|tis)[a-z0-9_:-]*", re.IGNORECASE
)


def looks_like_mail(head: bytes) -> bool:
    """Whether a message or a mailbox begins with ``head``: some kilobytes, or all there is."""
    if head.startswith(b"From "):
        return bool(_ENVELOPE.match(head))
    if not _FIRST.match(head):
        return False
    block = _END_OF_HEADERS.split(head, 1)[0]
    known = {found[1].lower() for found in _HEADER.finditer(block)}
    if len(known) < 2 or not known & {b"from", b"received", b"return-path", b"mime-version", b"message-id"}:
        return False
    lines = block.split(b"\n")
    # The last line may be cut off where the head ends.
    return all(_HEADER_LINE.match(line) for line in (lines[:-1] if len(block) == len(head) else lines))


def mails(reader: Reader, inside: Inside) -> Pieces:
    """One message, or each message of a mailbox as a member of its own."""
    number = 0
    while not inside.account.spent:
        size = _until_next(reader)
        position = reader.position
        if size < 0:
            name = f"message {number + 1}" if number else ""
            yield Leaf(inside.member(name) if name else inside.own, reader)
            yield inside.damaged(
                f"a message of more than {_HELD >> 20} MiB: its parts were not decoded", name
            )
            return False
        body = reader.read(size)
        if not body:
            return False
        number += 1
        single = number == 1 and not reader.peek(1)
        name = "" if single else f"message {number}"
        if not single and (one_too_many := inside.counted()):
            yield one_too_many
            return False
        content = placed(Reader.of(body), position) if single else Reader.of(body)
        yield Leaf(inside.member(name) if name else inside.own, content)
        if _ENCODED.search(body):
            yield from _Mail(inside, f"{name}!/" if name else "", len(body)).parts(body)
    return False


def _until_next(reader: Reader) -> int:
    """Bytes up to the next message of a mailbox or to the end; -1 if that is too far."""
    size, seen = 64 << 10, 0
    while True:
        data = reader.peek(size)
        # The line before the message that is being read is no border.
        if found := _NEXT.search(data, max(0, seen - 1024)):
            return found.start() + 1
        if len(data) < size:
            return len(data)
        if size > _HELD:
            return -1
        seen = len(data)
        size = min(2 * size, _HELD + 1)


class _Mail(Struct):
    """A message while its parts are read; ``prefix`` stands before their names."""

    inside: Inside
    prefix: str
    size: int
    count: int = 0
    made: int = 0
    fault: str = ""

    def parts(self, body: bytes) -> Iterator[Leaf | Cut]:
        """Everything in a message that does not stand in it as it reads."""
        begin = body.find(b"\n") + 1 if body.startswith(b"From ") else 0
        headers, start = _headers(body, begin, len(body))
        if words := _encoded_words(headers):
            yield self._leaf("headers", words.encode("utf-8", "replace"))
        yield from self._part(body, headers, start, len(body), "", 0)
        if self.fault:
            yield self.inside.damaged(self.fault, self.prefix.removesuffix("!/"))

    def _part(
        self, body: bytes, headers: Message, start: int, end: int, number: str, level: int
    ) -> Iterator[Leaf | Cut]:
        kind = _asked(headers.get_content_type)
        if kind.startswith("multipart/"):
            yield from self._inner(body, headers, start, end, number, level)
        elif kind == "message/rfc822" and not _encoding(headers):
            if level < _LEVELS:
                inner, begin = _headers(body, start, end)
                yield from self._part(body, inner, begin, end, number, level + 1)
            else:
                self.fault = f"parts nested more than {_LEVELS} deep"
        else:
            yield from self._content(body, headers, start, end, number or "1")

    def _inner(
        self, body: bytes, headers: Message, start: int, end: int, number: str, level: int
    ) -> Iterator[Leaf | Cut]:
        boundary = _asked(headers.get_boundary)
        if not boundary:
            return
        if level >= _LEVELS:
            self.fault = f"parts nested more than {_LEVELS} deep"
            return
        mark = re.compile(
            rb"(?:^|\n)--" + re.escape(boundary.encode("latin-1", "replace")) + rb"(--)?[ \t]*\r?(?=\n|\Z)"
        )
        at, count = -1, 0
        for found in mark.finditer(body, max(start - 1, 0), end):
            if at >= 0:
                count += 1
                yield from self._one(
                    body, at, found.start(), f"{number}.{count}" if number else str(count), level
                )
            at = -1 if found[1] else min(found.end() + 1, end)
            if self.fault or self.inside.account.spent:
                return
        if at >= 0:
            yield from self._one(body, at, end, f"{number}.{count + 1}" if number else str(count + 1), level)

    def _one(self, body: bytes, start: int, end: int, number: str, level: int) -> Iterator[Leaf | Cut]:
        self.count += 1
        if self.count > _PARTS:
            self.fault = f"more than {_PARTS} parts"
            return
        headers, begin = _headers(body, start, end)
        yield from self._part(body, headers, begin, end, number, level + 1)

    def _content(
        self, body: bytes, headers: Message, start: int, end: int, number: str
    ) -> Iterator[Leaf | Cut]:
        encoding = _encoding(headers)
        name = _file_name(headers)
        content = _decoded(body[start:end], encoding)
        if not encoding and not self.inside.packed(content):
            return
        self.made += len(content)
        if fault := over(self.inside.account, len(content), self.made, self.size):
            self.fault = fault
            return
        kind = _asked(headers.get_content_type)
        text = kind.startswith("text/")
        if text:
            content = _utf8(content, _asked(headers.get_content_charset))
        if name or not text:
            yield from self.inside.below(
                Reader.of(content), self.prefix + (name or f"part {number} ({kind[:_NAME]})")
            )
        elif content.strip():
            yield self._leaf(f"part {number} ({kind[:_NAME]})", content)

    def _leaf(self, name: str, content: bytes) -> Leaf:
        return Leaf(self.inside.member(self.prefix + name), Reader.of(content))


def _headers(body: bytes, start: int, end: int) -> tuple[Message, int]:
    """The headers that begin at ``start``, and where what they describe begins."""
    from email.message import Message
    from email.parser import BytesHeaderParser

    if body.startswith((b"\n", b"\r\n"), start, end):
        return Message(), body.index(b"\n", start) + 1
    found = _END_OF_HEADERS.search(body, start, min(end, start + _HEADERS))
    stop = found.start() if found else min(end, start + _HEADERS)
    # Folded lines are one field; longer than any sender makes them, they only cost time.
    fields, size = [], 0
    for line in body[start:stop].splitlines(keepends=True):
        size = size + len(line) if line[:1] in (b" ", b"\t") else len(line)
        if size <= _FIELD:
            fields.append(line)
    message = BytesHeaderParser().parsebytes(b"".join(fields))
    return message, found.end() if found else stop


def _encoded_words(headers: Message) -> str:
    """The header lines that say something in another way than they read."""
    lines = []
    for name, value in headers.items():
        text = str(value)
        if "=?" in text:
            lines.append(f"{name}: {_words(text)}")
    return "\n".join(lines)


def _words(text: str) -> str:
    from email.errors import MessageError
    from email.header import decode_header

    try:
        pieces = decode_header(text)
    except (ValueError, LookupError, MessageError):  # a base64 that is none
        return text
    shown = []
    for piece, charset in pieces:
        if isinstance(piece, bytes):
            shown.append(_utf8(piece, charset or "").decode("utf-8", "replace"))
        else:
            shown.append(piece)
    return "".join(shown)


def _encoding(headers: Message) -> str:
    stated = str(headers.get("content-transfer-encoding", "")).strip(" \t\r\n\"';").lower()
    return stated if stated in ("base64", "quoted-printable", "x-uuencode", "x-uue", "uuencode") else ""


def _decoded(content: bytes, encoding: str) -> bytes:
    """What ``content`` stands for. Damage costs what it hits and no more."""
    if encoding == "base64":
        signs = content.translate(None, _NO_BASE64)
        return binascii.a2b_base64(signs[: len(signs) // 4 * 4] + _padded(signs[len(signs) // 4 * 4 :]))
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    if encoding:
        return _uudecoded(content)
    return content


def _padded(signs: bytes) -> bytes:
    return signs + b"=" * (4 - len(signs)) if len(signs) > 1 else b""


def _uudecoded(content: bytes) -> bytes:
    lines = []
    for line in content.splitlines():
        try:
            lines.append(binascii.a2b_uu(line))
        except binascii.Error:
            continue
    return b"".join(lines)


def _utf8(content: bytes, charset: str) -> bytes:
    if not _CHARSET.fullmatch(charset) or charset.lower() in ("utf-8", "utf8"):
        return content
    try:
        return content.decode(charset, "replace").encode("utf-8", "replace")
    except (LookupError, ValueError):  # no such charset, or none for texts
        return content


def _file_name(headers: Message) -> str:
    name = _asked(headers.get_filename)
    if "=?" in name:
        name = _words(name)
    # A name leads nowhere, so that only what is not to be shown is left out.
    return "".join(sign if sign.isprintable() else " " for sign in name)[:_NAME].strip(" /")


def _asked(question: Callable[[], object]) -> str:
    """The answer of the library about a header, which fails on some that nobody means to send."""
    from email.errors import MessageError

    try:
        return str(question() or "")
    except (ValueError, LookupError, TypeError, AttributeError, MessageError):
        return ""
