"""Texts and files to start fuzzing from, and what must hold whatever becomes of them."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise

from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.views.telling import EDITORS
from unsprawl.detectors.views.wraps import wraps
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

__all__ = ["NAMES", "check", "seeds"]

#: The media type comes from the content alone, but rules may look at the path.
NAMES = ("x.txt", "x.html", "x.json", "x.log", "x.tar.gz", "x.xlsx", "x.eml", "x.py")

_PLAIN = Document(uri="file:///plain", body=b"nothing to see here", path="plain")

_TEXTS = (
    "token = <github-token:ghp_> # prod",
    '{"a": "\\u0067hp_<alnum:36>", "password": "<password>\\n"}',
    "%67%68%70%5F<alnum:36>&amp;password=<password>",
    "\x1b[31mghp_\x1b[0m<alnum:36>\r\n2026-01-01T00:00:00.0000000Z AKIA<base32:16>",
    "<p>ghp_<strong><alnum:10></strong><alnum:26></p><td>user</td><td><password></td>",
    "&#x67;hp_<alnum:36> ghp&#95;<alnum:36>\u200b<alnum:4>\u00ad<alnum:4>",
    'key = "sk_live_" + "<alnum:24>"\n"abc"\n  "def"',
    "<ac:plain-text-body><![CDATA[mysql -uadmin -p<password>]]></ac:plain-text-body>",
    '{"type":"text","text":"ghp_"},{"type":"text","text":"<alnum:36>","marks":[{"type":"strong"}]}',
    "user: ops\npassword: <password>\nhost: db.acme.test\n<pem:ec>",
    "aws_access_key_id=<aws-key-id:482915736042>\naws_secret_access_key=<base64:40>",
    "From: a@acme.test\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\npassword=3D<password>=\r\nx",
)


def seeds() -> Iterator[bytes]:
    """Every encoding, markup and container that the detection opens, with secrets in it."""
    texts = [fill(text, "hostile").encode() for text in _TEXTS]
    yield from texts
    for text in texts[:4]:
        yield base64.b64encode(text)
        yield base64.b64encode(gzip.compress(text))
        yield base64.b64encode(base64.b64encode(zlib.compress(text)))
        yield text.hex().encode()
        yield gzip.compress(text)
        yield text.decode().encode("utf-16")
    for name in ("a/b.env", "../../c", "d.zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, texts[0])
            archive.writestr("xl/worksheets/sheet1.xml", '<row><c r="A1" t="s"><v>0</v></c></row>')
        yield packed.getvalue()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("app/.env")
        member.size = len(texts[0])
        tar.addfile(member, io.BytesIO(texts[0]))
    yield packed.getvalue()


def check(detector: ContentDetector, body: bytes, name: str) -> list[Candidate]:
    """Scan ``body`` and assert what holds for any content; the candidates, for comparing engines."""
    changes = [edit for one in EDITORS.values() for edit in one(body)]
    assert all(one.start < one.end for one in changes)
    for editor in (*EDITORS.values(), wraps):
        assert all(left.end <= right.start for left, right in pairwise(editor(body)))
    document = Document(uri=f"file:///{name}", body=body, path=name)
    events = list(detector.scan(document))
    # Whatever stands beside it: what is said to be quiet must be so.
    assert not (events and detector.quiet([_PLAIN, document, _PLAIN])[1])
    found = [event for event in events if isinstance(event, Candidate)]
    for one in found:
        assert 0 <= one.start < one.end
        assert one.line >= 1
        assert one.column >= 1
        assert one.line_end >= one.line
        assert one.views
        if not one.member:
            assert one.end <= len(body)
            if one.views == ("raw",):
                assert body[one.start : one.end] == one.secret.reveal() == one.text
        for place in one.places.values():
            assert 0 <= place.start < place.end
            assert one.member or place.end <= len(body)
    return found
