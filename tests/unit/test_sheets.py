"""Sheets of a workbook read as rows, with the texts that their cells name by number."""

from __future__ import annotations

import io
import zipfile
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.detectors.containers import sheets
from unsprawl.detectors.containers.archives import Cut, Leaf, leaves
from unsprawl.detectors.containers.sheets import Cells, shared_strings
from unsprawl.detectors.containers.streams import Account, Budget, Reader
from unsprawl.detectors.views.edits import rewritten

STRINGS = (
    b'<?xml version="1.0"?><sst count="4"><si><t>login</t></si><si><r><t>tok_</t></r><r><t>&amp;part</t></r>'
    b"</si><si/><si><t xml:space='preserve'>p&#228;ss_x000A_word</t><rPh sb='0'><t>sound</t></rPh></si></sst>"
)
SHEET = (
    b'<worksheet><sheetData><row r="1" spans="1:3"><c r="A1" t="s"><v>0</v></c><c r="B1" s="2"/>'
    b'<c r="C1" t="s"><v>1</v></c></row>'
    b'<row r="2"><c r="A2"><v>42</v></c><c r="B2" t="str"><f>"a"&amp;"b"</f><v>ab</v></c>'
    b'<c r="C2" t="inlineStr"><is><r><t>in</t></r><r><t>line</t></r></is></c><c t="s"><v>3</v></c></row>'
    b"</sheetData></worksheet>"
)
ROWS = 'login\t\ttok_&part\t\n42\tab\t="a"&"b"\tinline\tpäss\nword\t\n'


def workbook(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"xl/{name.replace('__', '/')}.xml", content)
    return file.getvalue()


def read(body: bytes) -> tuple[dict[str, str], dict[str, bytes], list[str]]:
    """Each member as it reads, as it stands, and what was cut."""
    rows: dict[str, str] = {}
    raw: dict[str, bytes] = {}
    cuts: list[str] = []
    for piece in leaves(Reader.of(body), "book.xlsx", Account(Budget())):
        if isinstance(piece, Cut):
            cuts.append(f"{piece.member}: {piece.reason}")
            continue
        assert isinstance(piece, Leaf)
        raw[piece.member] = data = piece.reader.read(1 << 40)
        if piece.edits:
            rows[piece.member] = rewritten(data, piece.edits(data)).text.decode()
    return rows, raw, cuts


@pytest.mark.parametrize("strings_first", [True, False])
def test_a_sheet_reads_as_rows_wherever_its_strings_stand(strings_first: bool) -> None:
    pair = {"worksheets__sheet1": SHEET, "sharedStrings": STRINGS}
    members = dict(sorted(pair.items(), reverse=not strings_first))
    rows, raw, cuts = read(workbook(**members, styles=b"<styles/>"))
    assert rows == {"xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{ROWS}</sheetData></worksheet>"}
    assert raw["xl/worksheets/sheet1.xml"] == SHEET
    assert raw["xl/sharedStrings.xml"] == STRINGS
    assert raw["xl/styles.xml"] == b"<styles/>"
    assert cuts == []


def test_a_sheet_without_strings_is_read_all_the_same() -> None:
    rows, _, cuts = read(workbook(worksheets__sheet1=SHEET, comments1=b"<comments/>"))
    assert "inline\t" in rows["xl/worksheets/sheet1.xml"]
    assert cuts == []


def test_prefixed_elements_are_cells_too() -> None:
    sheet = SHEET
    for name in (b"row", b"c", b"v", b"f", b"t", b"is"):
        sheet = sheet.replace(b"<" + name + b" ", b"<x:" + name + b" ").replace(
            b"<" + name + b">", b"<x:" + name + b">"
        )
        sheet = sheet.replace(b"</" + name + b">", b"</x:" + name + b">")
    strings = STRINGS.replace(b"<si", b"<x:si").replace(b"</si", b"</x:si").replace(b"<t>", b"<x:t>")
    rows, _, _ = read(workbook(sharedStrings=strings.replace(b"<t ", b"<x:t "), worksheets__s=sheet))
    assert ROWS in rows["xl/worksheets/s.xml"]


def test_the_edit_of_a_cell_covers_its_element() -> None:
    cell = b'<c r="C1" t="s"><v>1</v></c>'
    edit = next(edit for edit in Cells(shared_strings(STRINGS)).edits(SHEET) if b"tok_" in edit.text)
    assert SHEET[edit.start : edit.end] == cell
    assert edit.text == b"tok_&part\t"


def test_sheets_beyond_the_limit_are_read_without_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_HELD", len(SHEET) + 10)
    rows, raw, cuts = read(workbook(worksheets__a=SHEET, worksheets__b=SHEET, sharedStrings=STRINGS))
    assert ROWS in rows["xl/worksheets/a.xml"]
    assert "inline\t" in rows["xl/worksheets/b.xml"]
    assert raw["xl/worksheets/b.xml"] == SHEET
    assert cuts == [
        "xl/worksheets/b.xml: a large sheet stands before its strings: it is read without them",
    ]
    monkeypatch.setattr(sheets, "_HELD", 20)
    rows, raw, cuts = read(workbook(sharedStrings=STRINGS, worksheets__a=SHEET))
    assert raw["xl/sharedStrings.xml"] == STRINGS
    assert "inline\t" in rows["xl/worksheets/a.xml"]
    assert [cut.partition(":")[0] for cut in cuts] == ["xl/sharedStrings.xml"]


def test_a_truncated_workbook_still_has_rows() -> None:
    body = workbook(sharedStrings=STRINGS, worksheets__a=SHEET)
    rows, _, cuts = read(body[: body.rindex(b"PK\x01\x02", 0, body.rindex(b"PK\x01\x02")) - 40])
    assert "login\t" in rows["xl/worksheets/a.xml"]
    assert cuts == ["xl/worksheets/a.xml: truncated deflate data"]


def test_a_long_text_named_by_every_cell_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_PUT", 1 << 20)
    strings = b"<sst><si><t>" + b"x" * 100_000 + b"</t></si></sst>"
    sheet = b"<row>" + b'<c t="s"><v>0</v></c>' * 5000 + b"</row>"
    rows, _, cuts = read(workbook(sharedStrings=strings, worksheets__a=sheet))
    assert len(rows["xl/worksheets/a.xml"]) < 2 << 20
    assert cuts == ["xl/worksheets/a.xml: texts of cells repeat so often that not all were put in place"]


@pytest.mark.parametrize(
    "piece",
    [
        b"<c ",
        b"<c>",
        b"<c><",
        b"<row ",
        b"<c a='",
        b"<c><v>",
        b"</",
        b"<c/",
        b"<c>x</v>",
        b"<x:c ",
        b"<si><t>",
        b"<rPh ",
        b"&#",
        b"_x",
    ],
)
def test_hostile_sheets_take_linear_time(piece: bytes) -> None:
    data = piece * ((2 << 20) // len(piece))
    begin = monotonic()
    Cells([b"x"]).edits(data)
    shared_strings(b"<si><t>" + data + b"</t></si>")
    assert monotonic() - begin < 4


@given(
    st.lists(
        st.sampled_from(
            [
                b"<c",
                b" ",
                b't="s"',
                b">",
                b"/>",
                b"</c>",
                b"<row>",
                b"</row>",
                b"<v>",
                b"1",
                b"</v>",
                b"<f>",
                b"&amp;",
                b"&#xD800;",
                b"_x0000_",
                b"<x:c>",
                b"\xff",
            ]
        ),
        max_size=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_edits_are_sorted_and_disjoint_whatever_stands_there(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    end = 0
    for edit in Cells(shared_strings(data)).edits(data):
        assert end <= edit.start < edit.end <= len(data)
        end = edit.end
