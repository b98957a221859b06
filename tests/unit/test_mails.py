"""E-mail: what an encoding hides is decoded, attachments are opened, mailboxes come apart."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage
from email.policy import SMTP
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdfs import pdf
from unpacked import token, tokens, unpack

from unsprawl.detectors.containers import mails
from unsprawl.detectors.containers.kinds import kind_of, may_be_packed
from unsprawl.detectors.containers.streams import Budget


def office(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"word/{name}.xml", content)
    return file.getvalue()


def message(*, subject: str = "hello") -> EmailMessage:
    mail = EmailMessage(policy=SMTP.clone(max_line_length=72))
    mail["From"] = "ann@acme.example"
    mail["To"] = "bob@acme.example"
    mail["Subject"] = subject
    mail["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    mail["Message-ID"] = "<1@acme.example>"
    return mail


def rich() -> EmailMessage:
    mail = message(subject="p\u00e4ss " + token("subject"))
    mail.set_content("plain p\u00e4ss " + token("text"), cte="base64")
    mail.add_alternative(
        "<p>" + "long " * 30 + "<b>" + token("html") + "</b></p>", subtype="html", cte="quoted-printable"
    )
    document = office(
        document="<w:t>" + token("body") + "</w:t>", header1=token("header"), comments=token("note")
    )
    mail.add_attachment(
        document, maintype="application", subtype="vnd.ms-word", filename="Bericht \u00fc.docx"
    )
    mail.add_attachment(pdf([token("page")]), maintype="application", subtype="pdf", filename="a.pdf")
    inner = message()
    inner.set_content(token("inner"), cte="base64")
    inner.add_attachment(
        office(document=token("inner body")), maintype="application", subtype="x", filename="b.docx"
    )
    mail.add_attachment(inner)
    return mail


WHOLE = rich().as_bytes()


def test_everything_in_a_message_is_found() -> None:
    found = tokens(WHOLE)
    places = {
        "subject": "headers",
        "text": "part 1.1 (text/plain)",
        "html": "part 1.2 (text/html)",
        "body": "Bericht \u00fc.docx!/word/document.xml",
        "header": "Bericht \u00fc.docx!/word/header1.xml",
        "note": "Bericht \u00fc.docx!/word/comments.xml",
        "page": "a.pdf!/page 1",
        "inner": "part 4.1 (text/plain)",
        "inner body": "b.docx!/word/document.xml",
    }
    assert {name: place in found.get(token(name), ()) for name, place in places.items()} == dict.fromkeys(
        places, True
    )
    assert unpack(WHOLE)[1] == {}


def test_texts_are_utf_8() -> None:
    mail = message()
    mail.set_content("p\u00e4ss " + token("text"), charset="iso-8859-1", cte="base64")
    contents, _ = unpack(mail.as_bytes())
    assert contents["part 1 (text/plain)"].decode().strip() == "p\u00e4ss " + token("text")
    wide = mail.as_bytes().replace(b"iso-8859-1", b"utf-16-le")
    assert unpack(wide)[0]["part 1 (text/plain)"].decode("utf-8")
    for charset in (b"idna", b"zlib", b"no-such-thing", b"unicode_escape"):
        assert unpack(mail.as_bytes().replace(b"iso-8859-1", charset))[1] == {}


def test_a_plain_message_is_one_text() -> None:
    mail = message()
    mail.set_content("plain " + token("plain"))
    assert tokens(mail.as_bytes()) == {token("plain"): {""}}
    assert list(unpack(mail.as_bytes())[0]) == [""]


def test_a_mailbox_is_read_message_by_message() -> None:
    plain = message()
    plain.set_content(token("plain"))
    box = b"".join(
        b"From ann@acme.example Mon Mar  2 10:00:00 2026\n" + one.replace(b"\r\n", b"\n") + b"\n"
        for one in (plain.as_bytes(), WHOLE, plain.as_bytes())
    )
    found = tokens(box)
    assert found[token("plain")] == {"message 1", "message 3"}
    assert found[token("body")] == {"message 2!/Bericht \u00fc.docx!/word/document.xml"}
    assert "message 2!/part 1.1 (text/plain)" in found[token("text")]
    contents, cuts = unpack(box)
    assert cuts == {}
    assert b"".join(contents[f"message {number}"] for number in (1, 2, 3)) == box


def test_a_mailbox_with_a_message_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mails, "_HELD", 200_000)
    small = b"From a@b Mon Mar  2 10:00:00 2026\nFrom: a\nSubject: b\n\ntext\n"
    box = small * 3 + small + b"word\n" * 100_000 + small
    contents, cuts = unpack(box)
    assert list(contents) == ["message 1", "message 2", "message 3", "message 4"]
    assert len(contents["message 4"]) == len(box) - 3 * len(small)
    assert list(cuts) == ["message 4"]
    large = small * 8000
    begin = monotonic()
    assert len(unpack(large)[0]) == 8000
    assert monotonic() - begin < 8


@pytest.mark.parametrize(
    ("text", "is_mail"),
    [
        (b"From: a@b\nTo: c@d\n\nbody", True),
        (b"Received: from x by y\n  folded\nDate: today\nX-Any: 1\n\nbody", True),
        (b"Return-Path: <a>\r\nFrom: a\r\n\r\nbody", True),
        (b"X-Mozilla-Status: 1\nMIME-Version: 1.0\nFrom: <Saved by a browser>\n\nbody", True),
        (b"From: a@b\nthis is a letter\nTo: c\n\nbody", False),
        (b"From: someone\n\nSubject: nothing", False),
        (b"Date: 1\nSubject: 2\n\nbody", False),
        (b"From here to there it is far.\n", False),
        (b"from unsprawl import secret\n", False),
        (b"Date,From,To\n1,2,3\n", False),
        (b"From a@b Mon Mar  2 10:00:00 2026\nFrom: x\n", True),
        (b"x", False),
        (b"", False),
    ],
)
def test_a_message_is_known_by_its_headers(text: bytes, is_mail: bool) -> None:
    assert (kind_of(text) == "mail") is is_mail
    assert may_be_packed(text) is is_mail


def test_damage_costs_what_it_hits() -> None:
    body = (
        b"From: a\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
        b"Content-Transfer-Encoding: base64\nContent-Type: text/plain\n\n"
        b"aGVs!bG8gd29ybGQgYW5kIG1vcmU\n--x\nContent-Transfer-Encoding: quoted-printable\n\nfo=6F =ZZ="
        b"\nbar\n--x\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; "
        b"filename==?utf-8?b?!?=\n\nAAAA"
    )
    contents, cuts = unpack(body)
    assert contents["part 1 (text/plain)"] == b"hello world and more"
    assert contents["part 2 (text/plain)"].startswith(b"foo =ZZbar")
    assert cuts == {}


def nested(depth: int) -> bytes:
    body = b"From: a\nMIME-Version: 1.0\n"
    for level in range(depth):
        body += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level)
    return body + b"Content-Transfer-Encoding: base64\n\naGVsbG8=\n"


def test_hostile_messages_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = monotonic()
    assert unpack(nested(20))[0]
    assert list(unpack(nested(50_000))[1].values()) == ["parts nested more than 20 deep"]
    many = (
        b"From: a\nMIME-Version: 1\nContent-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * 200_000
    )
    assert list(unpack(many + b"Content-Transfer-Encoding: base64\n")[1].values()) == ["more than 2000 parts"]
    words = b"From: a\nMIME-Version: 1\nSubject: " + b"=?a?q?" * 1300 + b"\n\nbody"
    assert unpack(words)[1] == {}
    headers = b"From: a\nMIME-Version: 1\n" + b"X-Long: " + b"a;" * 500_000 + b"\n\nbody =?a?q?"
    assert unpack(headers)[0]
    assert unpack(b"From: a\nMIME-Version: 1\n\n" + b"=?a" * 700_000)[0]
    assert unpack(b"From a@b 10:00 2026\nFrom: a\n\n" + b"\nFrom " * 300_000)[0]
    assert monotonic() - begin < 20
    _, cuts = unpack(WHOLE, budget=Budget(unpacked=300))
    assert "unpacks to more than 0 MiB" in cuts[""]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_messages_never_fail(data: st.DataObject) -> None:
    body = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 10))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"\n", b"--", b"=", b"?", b"\xff", b";", b'"', b"\0", b"=?x?b?"])
        )
    unpack(bytes(body[: data.draw(st.integers(0, len(body)))]))


@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Type: ",
                b"multipart/mixed",
                b"; boundary=",
                b"a",
                b'"',
                b"\n",
                b"\r\n\r\n",
                b"--a",
                b"--",
                b"message/rfc822",
                b"Content-Transfer-Encoding: base64\n",
                b"Subject: =?utf-8?b?",
                b"?=",
                b"*0*=",
                b"filename",
                b"%ff",
                b"\xe4",
                b"charset=utf-7''",
                b"Content-Disposition: attachment",
            ]
        ),
        max_size=30,
    )
)
@settings(max_examples=300, deadline=None)
def test_odd_headers_never_fail(pieces: list[bytes]) -> None:
    unpack(b"From: a\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n" + b"".join(pieces))
