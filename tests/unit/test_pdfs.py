"""PDFs are read page by page in a process of their own, and what breaks there is a cut here."""

from __future__ import annotations

import os
import signal
import threading
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdfs import pdf
from unpacked import token, tokens, unpack

from unsprawl.detectors.containers import apart, documents
from unsprawl.detectors.containers.archives import leaves
from unsprawl.detectors.containers.streams import Account, Budget, Reader

PAGES = ("first " + token("page 1"), "second\nline " + token("page 2"))
WHOLE = pdf(
    PAGES,
    information={"Title": token("title"), "Keywords": token("keywords")},
    marks=("note " + token("note"), "https://acme.example/?key=" + token("link")),
    fields={"password": token("field")},
    files={"a.txt": token("file").encode(), "in.pdf": pdf([token("page of the attachment")])},
    script=f"var key = '{token('script')}';",
)


def test_everything_that_a_pdf_carries_is_found() -> None:
    found = tokens(WHOLE)
    places = {
        "title": "document information",
        "keywords": "document information",
        "script": "document information",
        "page 1": "page 1",
        "page 2": "page 2",
        "note": "page 1 annotations",
        "link": "page 1 annotations",
        "field": "page 1 annotations",
        "file": "a.txt",
        "page of the attachment": "in.pdf!/page 1",
    }
    assert {name: place in found[token(name)] for name, place in places.items()} == dict.fromkeys(
        places, True
    )
    assert token("page 1") not in found or "" not in found[token("page 1")]


def test_the_bytes_and_the_text_are_both_scanned() -> None:
    contents, cuts = unpack(WHOLE)
    assert contents[""] == WHOLE
    assert contents["page 2"].decode() == PAGES[1]
    assert contents["page 1 annotations"].decode().splitlines()[-1] == f"password: {token('field')}"
    assert cuts == {}


def test_a_word_that_goes_on_in_the_next_line_keeps_its_hyphen() -> None:
    contents, _ = unpack(pdf(["key tok-abc-\ndef"]))
    assert contents["page 1"].replace(b"\n", b"") == b"key tok-abc-def"


def test_an_encrypted_pdf_is_named() -> None:
    locked = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O ({'o' * 32}) /U ({'u' * 32}) /P -4 >> /ID [(a) (a)]"
    contents, cuts = unpack(pdf(["x"], trailer=locked))
    assert list(contents) == [""]
    assert cuts == {"": "encrypted: it opens with a password only"}


def test_what_only_begins_like_a_pdf_is_scanned_as_it_is() -> None:
    body = b"%PDF-1.4 " + token("plain").encode()
    assert tokens(body) == {token("plain"): {""}}
    assert unpack(body) == ({"": body}, {"": "damaged PDF: it cannot be opened"})


def test_a_pdf_beyond_the_limit_is_scanned_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_PDF", 1 << 20)
    body = WHOLE + bytes(1 << 20)
    assert unpack(body) == ({"": body}, {"": "a PDF of more than 1 MiB: only its bytes were scanned"})


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_pdfs_never_fail(data: st.DataObject) -> None:
    body = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(5, len(body) - 1))] = data.draw(st.integers(0, 255))
    begin = monotonic()
    unpack(bytes(body[: data.draw(st.integers(5, len(body)))]))
    assert monotonic() - begin < 20


# --- the process ---------------------------------------------------------------------------------


def helpers() -> list[apart._Helper]:
    return apart._idle.get((os.getpid(), "unsprawl.detectors.containers.pdf_helper"), [])


def test_a_process_reads_many_documents_and_is_not_shared() -> None:
    unpack(WHOLE)
    first = helpers()[-1]
    threads = [threading.Thread(target=unpack, args=(WHOLE,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first in helpers()
    assert len(set(map(id, helpers()))) == len(helpers())


def test_a_process_that_dies_is_a_cut_and_the_next_document_is_read() -> None:
    unpack(WHOLE)
    pieces = leaves(Reader.of(WHOLE), "a.pdf", Account(Budget()))
    waiting = helpers()[-1]
    reasons = []
    for number, piece in enumerate(pieces):
        if number == 1:
            os.kill(waiting._process.pid, signal.SIGKILL)
        reasons.append(getattr(piece, "reason", ""))
    assert reasons[-1] in {"the process that read it has crashed", ""}
    assert unpack(WHOLE)[1] == {}


def test_an_idle_process_that_died_is_replaced() -> None:
    unpack(WHOLE)
    for helper in helpers():
        os.kill(helper._process.pid, signal.SIGKILL)
        helper._process.wait()
    assert unpack(WHOLE)[1] == {}


def test_a_process_that_hangs_is_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    unpack(WHOLE)
    monkeypatch.setattr(apart, "_PATIENCE", 0.3)
    for helper in helpers():
        os.kill(helper._process.pid, signal.SIGSTOP)
    assert unpack(WHOLE)[1] == {"": "takes too long to read"}
    apart._end_all()


def test_a_document_that_is_left_early_leaves_no_process_behind() -> None:
    unpack(WHOLE)
    waiting = helpers()[-1]
    pieces = leaves(Reader.of(WHOLE), "a.pdf", Account(Budget()))
    next(pieces)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert not waiting.alive


def test_without_a_process_the_bytes_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(module: str) -> None:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(apart, "_taken", refuse)
    contents, cuts = unpack(WHOLE)
    assert contents == {"": WHOLE}
    assert cuts == {"": "no process could be started to read it: no more processes"}


def test_text_beyond_the_budget_is_cut() -> None:
    _, cuts = unpack(pdf(["word " * 2000] * 20), budget=Budget(unpacked=30_000))
    assert "unpacks to more than 0 MiB" in cuts.values()
    _, cuts = unpack(WHOLE, budget=Budget(entries=2))
    assert list(cuts.values()) == ["more than 2 archive entries"]
