"""The process that reads PDFs: the text of each page, and what else a document carries. See ``apart``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as c

from unsprawl.detectors.containers.helper import Members, serve

#: Processor seconds a document, and bytes of memory.
_SECONDS: Final = 120
_MEMORY: Final = 1536 << 20
#: Pages and bytes of text that are read, annotations of one page, and attachments.
_PAGES: Final = 20_000
_TEXT: Final = 64 << 20
_MARKS: Final = 10_000
_FILES: Final = 1000
_FILE: Final = 256 << 20
_TITLES: Final = 20_000

_TEXTS: Final = (b"T", b"TU", b"Contents", b"V", b"DV", b"Subj", b"RC")


def _read(body: bytes, members: Members) -> None:
    try:
        document = pdfium.PdfDocument(body)
    except pdfium.PdfiumError as error:
        protected = getattr(error, "err_code", None) == c.FPDF_ERR_PASSWORD
        members.cut(
            "encrypted: it opens with a password only" if protected else "damaged PDF: it cannot be opened"
        )
        return
    try:
        document.init_forms()
        members.leaf("document information", "\n".join(_information(document)))
        _pages(document, members)
        _files(document, members)
    finally:
        document.close()


def _information(document: Any) -> Iterator[str]:
    for key, value in document.get_metadata_dict(skip_empty=True).items():
        yield f"{key}: {value}"
    for number, entry in enumerate(document.get_toc()):
        if number >= _TITLES:
            return
        yield entry.get_title()
    for index in range(min(c.FPDFDoc_GetJavaScriptActionCount(document), _FILES)):
        if action := c.FPDFDoc_GetJavaScriptAction(document, index):
            yield _wide(partial(c.FPDFJavaScriptAction_GetScript, action))
            c.FPDFDoc_CloseJavaScriptAction(action)


def _pages(document: Any, members: Members) -> None:
    made = 0
    for index in range(len(document)):
        if index >= _PAGES or made > _TEXT:
            what = f"{_PAGES} pages" if index >= _PAGES else f"{_TEXT >> 20} MiB of text"
            members.cut(f"more than {what}: page {index + 1} and those behind it were not read")
            return
        name = f"page {index + 1}"
        try:
            page = document[index]
        except pdfium.PdfiumError:
            members.cut("damaged page", name)
            continue
        try:
            text = _page_text(page)
            members.leaf(name, text)
            marks = "\n".join(_marks(document, page))
            members.leaf(f"{name} annotations", marks)
            made += len(text) + len(marks)
        except pdfium.PdfiumError:
            members.cut("damaged page", name)
        finally:
            page.close()


def _page_text(page: Any) -> str:
    textpage = page.get_textpage()
    try:
        text: str = textpage.get_text_range()
    finally:
        textpage.close()
    # The library marks a hyphen at the end of a line, and joins the lines.
    return text.replace("\r\n", "\n").replace("\x02", "-").replace("\ufffe", "-")


def _marks(document: Any, page: Any) -> Iterator[str]:
    """A line for each annotation or field of a form that says something."""
    count = c.FPDFPage_GetAnnotCount(page)
    for index in range(min(count, _MARKS)):
        mark = c.FPDFPage_GetAnnot(page, index)
        if not mark:
            continue
        try:
            texts = [_value(mark, key) for key in _TEXTS]
            if document.formenv:
                texts[:0] = _field(document.formenv, mark)
            texts += _address(document, mark)
        finally:
            c.FPDFPage_CloseAnnot(mark)
        said = ": ".join(dict.fromkeys(filter(None, texts)))
        if said:
            yield said


def _value(mark: Any, key: bytes) -> str:
    return _wide(partial(c.FPDFAnnot_GetStringValue, mark, key))


def _field(form: Any, mark: Any) -> list[str]:
    if c.FPDFAnnot_GetFormFieldType(form, mark) <= 0:
        return []
    return [
        _wide(partial(c.FPDFAnnot_GetFormFieldName, form, mark)),
        _wide(partial(c.FPDFAnnot_GetFormFieldValue, form, mark)),
    ]


def _address(document: Any, mark: Any) -> list[str]:
    link = c.FPDFAnnot_GetLink(mark)
    action = c.FPDFLink_GetAction(link) if link else None
    size = c.FPDFAction_GetURIPath(document, action, None, 0) if action else 0
    if not size:
        return []
    buffer = ctypes.create_string_buffer(size)
    c.FPDFAction_GetURIPath(document, action, buffer, size)
    return [buffer.raw[:size].rstrip(b"\0").decode("utf-8", "replace")]


def _wide(ask: Callable[[Any, int], int]) -> str:
    """A text that the library gives as UTF-16 with a NUL behind it, once it is told where to."""
    size = ask(None, 0)
    if size <= 2 or size > _TEXT:
        return ""
    buffer = (c.FPDF_WCHAR * ((size + 1) // 2))()
    ask(buffer, size)
    return bytes(buffer)[: size - 2].decode("utf-16-le", "replace")


def _files(document: Any, members: Members) -> None:
    count = document.count_attachments()
    for index in range(min(count, _FILES)):
        name = f"attachment {index + 1}"
        try:
            file = document.get_attachment(index)
            name = file.get_name() or name
            size = ctypes.c_ulong()
            c.FPDFAttachment_GetFile(file, None, 0, size)
            if size.value > _FILE:
                members.cut(f"more than {_FILE >> 20} MiB", name)
                continue
            content = file.get_data() if size.value else b""
        except pdfium.PdfiumError:
            members.cut("damaged attachment", name)
            continue
        if content:
            members.begin(name, nested=True)
            members.data(memoryview(content).cast("B"))
            members.end()
    if count > _FILES:
        members.cut(f"more than {_FILES} attachments")


if __name__ == "__main__":
    serve(_read, seconds=_SECONDS, memory=_MEMORY)
