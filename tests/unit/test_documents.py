"""Office documents: everything a reader does not see at once, and everything that holds a document."""

from __future__ import annotations

import gzip
import io
import zipfile
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdfs import pdf
from unpacked import token, tokens, unpack

from unsprawl.detectors.containers.kinds import may_be_packed
from unsprawl.detectors.containers.streams import Budget
from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.records import Candidate, Document, Severity


def zipped(members: dict[str, bytes | str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def planted(*places: str) -> dict[str, bytes | str]:
    return {place: f"<a><t>text {token(place)} text</t></a>" for place in places}


DOCX = (
    *("word/document.xml", "word/header1.xml", "word/footer2.xml", "word/comments.xml", "word/footnotes.xml"),
    *("word/_rels/document.xml.rels", "docProps/core.xml", "docProps/custom.xml", "customXml/item1.xml"),
)
PPTX = ("ppt/slides/slide1.xml", "ppt/notesSlides/notesSlide1.xml", "ppt/comments/comment1.xml")
XLSX = (
    *("xl/workbook.xml", "xl/sharedStrings.xml", "xl/comments1.xml", "xl/externalLinks/externalLink1.xml"),
    *("xl/drawings/drawing1.xml", "xl/connections.xml", "xl/queryTables/queryTable1.xml"),
)
ODF = ("content.xml", "styles.xml", "meta.xml", "settings.xml")


@pytest.mark.parametrize("members", [DOCX, PPTX, XLSX, ODF], ids=["docx", "pptx", "xlsx", "odf"])
def test_every_member_of_an_office_document_is_scanned(members: tuple[str, ...]) -> None:
    body = zipped({"mimetype": "application/x", **planted(*members)})
    assert tokens(body) == {token(place): {place} for place in members}
    assert unpack(body)[1] == {}


def test_a_workbook_with_a_hidden_sheet_a_formula_and_an_inline_string() -> None:
    formula = f'<row><c t="str"><f>"x {token("formula")}"</f><v/></c></row>'
    inline = f'<row><c t="inlineStr"><is><t>{token("inline")}</t></is></c></row>'
    body = zipped(
        {
            "xl/workbook.xml": f'<sheet state="hidden"/><definedName>"{token("name")}"</definedName>',
            "xl/worksheets/sheet1.xml": formula,
            "xl/worksheets/sheet2.xml": inline,
            "xl/sharedStrings.xml": f"<sst><si><t>{token('shared')}</t></si></sst>",
        }
    )
    found = tokens(body)
    assert "xl/worksheets/sheet1.xml" in found[token("formula")]
    assert "xl/worksheets/sheet2.xml" in found[token("inline")]
    assert "xl/workbook.xml" in found[token("name")]
    assert "xl/sharedStrings.xml" in found[token("shared")]


def test_a_value_is_read_beside_the_word_in_the_cell_before_it() -> None:
    rule = Rule(
        id="acme.near",
        name="Key",
        provider="acme",
        severity=Severity.HIGH,
        keywords=("acme",),
        pattern=r"(?i)acme key\s{1,5}(?P<secret>[a-z0-9]{24})\b",
        kind="contextual",
    )
    detector = ContentDetector(RuleSet((rule,)))
    value = token("cell")[4:].lower()
    cell = '<c r="B1" t="s"><v>2</v></c>'
    sheet = f'<row r="1"><c r="A1" t="s"><v>0</v></c>{cell}</row>'
    texts = "".join(f"<si><t>{text}</t></si>" for text in ("acme key", "between", value))
    body = zipped({"xl/worksheets/sheet1.xml": sheet, "xl/sharedStrings.xml": f"<sst>{texts}</sst>"})
    found = list(detector.scan(Document(uri="mem:book", body=body)))
    assert len(found) == 1
    one = found[0]
    assert isinstance(one, Candidate)
    assert one.secret.reveal() == value.encode()
    assert one.member == "xl/worksheets/sheet1.xml"
    assert "cells" in one.views
    assert sheet[one.start : one.end] == cell


def test_documents_in_documents() -> None:
    inner = zipped({"word/document.xml": token("inner")})
    body = zipped(
        {
            "word/embeddings/sheet.xlsx": zipped(
                {"xl/worksheets/sheet1.xml": f"<c><v>{token('sheet')}</v></c>"}
            ),
            "word/embeddings/a.pdf": pdf([token("page")], files={"in.docx": inner}),
        }
    )
    found = tokens(gzip.compress(body))
    assert found[token("page")] == {"word/embeddings/a.pdf!/page 1"}
    assert found[token("inner")] == {"word/embeddings/a.pdf!/in.docx!/word/document.xml"}
    assert "word/embeddings/sheet.xlsx!/xl/worksheets/sheet1.xml" in found[token("sheet")]


def test_a_document_too_deep_is_scanned_as_bytes() -> None:
    body = zipped({"a.pdf": pdf(["x"], information={"Title": token("title")}), "b.zip": zipped({"c": "d"})})
    contents, cuts = unpack(body, budget=Budget(depth=1))
    assert list(contents) == ["a.pdf"]
    assert token("title").encode() in contents["a.pdf"]
    assert list(cuts) == ["a.pdf", "b.zip"]


@pytest.mark.parametrize(
    "start",
    [
        b"%PDF-1.7\n",
        b"SQLite format 3\0",
        b"!<arch>\n",
        b"070701",
        b"Cr24\3\0\0\0",
        b"\xed\xab\xee\xdb",
        b"7z\xbc\xaf\x27\x1c",
    ],
)
def test_small_documents_are_looked_at(start: bytes) -> None:
    assert may_be_packed(start + b"more")


def test_the_look_at_a_text_costs_little() -> None:
    texts = [
        b"Reference: this is a text\nand more\n" * 50,
        b"import os\n" * 100,
        b"x-header: 1\n" * 300,
    ] * 1000
    begin = perf_counter()
    assert not any(map(may_be_packed, texts))
    assert perf_counter() - begin < 1


WORKBOOK = zipped(
    {
        "[Content_Types].xml": "<Types/>",
        "xl/worksheets/sheet1.xml": '<row><c t="s"><v>0</v></c><c><v>1</v></c></row>' * 20,
        "xl/sharedStrings.xml": "<sst><si><t>a</t></si></sst>",
        "word/document.xml": "<w:t>text</w:t>" * 20,
    }
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_office_documents_never_fail(data: st.DataObject) -> None:
    body = bytearray(WORKBOOK)
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    unpack(bytes(body[: data.draw(st.integers(0, len(body)))]))
