"""PDFs written by hand, object by object."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def pdf(
    pages: Sequence[str],
    *,
    information: dict[str, str] | None = None,
    marks: Sequence[str] = (),
    fields: dict[str, str] | None = None,
    files: dict[str, bytes] | None = None,
    script: str = "",
    trailer: str = "",
) -> bytes:
    """A PDF with a line of text a page, compressed; marks, fields and files are the first page's or all's."""
    objects: list[bytes] = []

    def add(content: str | bytes) -> int:
        objects.append(content.encode() if isinstance(content, str) else content)
        return len(objects)

    def stream(content: bytes, more: str = "") -> int:
        packed = zlib.compress(content)
        head = f"<< /Length {len(packed)} /Filter /FlateDecode {more} >>\nstream\n".encode()
        return add(head + packed + b"\nendstream")

    catalog, tree = add(""), add("")
    font = add("<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>")
    notes = [
        add(f"<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /Contents ({text}) >>")
        for text in marks
        if not text.startswith("http")
    ]
    notes += [
        add(f"<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI ({text}) >> >>")
        for text in marks
        if text.startswith("http")
    ]
    inputs = [
        add(
            f"<< /Type /Annot /Subtype /Widget /FT /Tx /T ({name}) /V ({value}) /Rect [0 0 9 9] "
            f"/DA (/F1 9 Tf) >>"
        )
        for name, value in (fields or {}).items()
    ]
    kids = []
    for number, text in enumerate(pages):
        lines = "".join(f"({line}) Tj 0 -20 Td " for line in text.split("\n"))
        content = stream(f"BT /F1 9 Tf 20 800 Td {lines}ET".encode())
        own = " ".join(f"{mark} 0 R" for mark in ([] if number else notes + inputs))
        kids.append(
            add(
                f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 900 900] /Contents {content} 0 R "
                f"/Annots [{own}] /Resources << /Font << /F1 {font} 0 R >> >> >>"
            )
        )
    names = ""
    if files:
        held = ""
        for name, content_of in files.items():
            embedded = stream(content_of, "/Type /EmbeddedFile")
            spec = add(f"<< /Type /Filespec /F ({name}) /UF ({name}) /EF << /F {embedded} 0 R >> >>")
            held += f"({name}) {spec} 0 R "
        names += f"/EmbeddedFiles << /Names [{held}] >> "
    if script:
        action = add(f"<< /S /JavaScript /JS ({script}) >>")
        names += f"/JavaScript << /Names [(a) {action} 0 R] >> "
    form = f"/AcroForm << /Fields [{' '.join(f'{one} 0 R' for one in inputs)}] >>" if inputs else ""
    objects[catalog - 1] = f"<< /Type /Catalog /Pages {tree} 0 R /Names << {names}>> {form} >>".encode()
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[tree - 1] = f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>".encode()
    info = add("<< " + " ".join(f"/{key} ({value})" for key, value in (information or {}).items()) + " >>")

    body = b"%PDF-1.7\n"
    places = []
    for number, written in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, written)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root %d 0 R /Info %d 0 R %s >>\n"
        b"startxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, catalog, info, trailer.encode(), len(body))
    )
