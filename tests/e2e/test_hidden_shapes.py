"""Shapes that hide a secret from a search for its text: each is found, at the smallest stretch of it."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unsprawl.placeholders import fill

TOKEN = fill("<github-token:ghp_>", "hidden")
PASSWORD = fill("<password>", "hidden")
KEY_ID = fill("<aws-key-id:482915736042>", "hidden")
KEY = fill("<base64:40>", "hidden")
#: Name: the text with the part that must be named between « and », the value, and the view if it is one.
SHAPES: dict[str, tuple[str, str, str]] = {
    "plain": (f"token = «{TOKEN}»\n", TOKEN, "raw"),
    "percent-encoded": (
        f"GET /hook?t=«%67%68%70%5F{TOKEN[4:]}»&x=1\n",
        TOKEN,
        "percent",
    ),
    "split by a colour code": (f"using «{TOKEN[:12]}\x1b[0m\x1b[32m{TOKEN[12:]}» now\n", TOKEN, "ansi"),
    "split by a tag": (f"<p>key <b>«{TOKEN[:9]}</b><i>{TOKEN[9:]}»</i></p>\n", TOKEN, "html"),
    "split in a page's storage format": (
        f"<p>Token: «{TOKEN[:9]}<strong>{TOKEN[9:20]}</strong>{TOKEN[20:]}»</p><ac:link />\n",
        TOKEN,
        "",
    ),
    "escaped letters": ('{"t": "«\\u0067\\u0068\\u0070_' + TOKEN[4:] + '»"}\n', TOKEN, "escape"),
    "entities": (f"<td>«&#103;&#x68;p&#95;{TOKEN[4:]}»</td>\n", TOKEN, "entity"),
    "zero-width split": (
        f"paste «{TOKEN[:20]}\u200b{TOKEN[20:30]}\u00ad{TOKEN[30:]}» here\n",
        TOKEN,
        "invisible",
    ),
    "hexadecimal": (f"blob {b'key='.hex()}«{TOKEN.encode().hex()}»0a\n", TOKEN, "hex"),
    "base64 in base64": (
        "d: «" + base64.b64encode(base64.b64encode(f"token {TOKEN} x".encode())).decode() + "»\n",
        TOKEN,
        "base64",
    ),
    "gzip in base64": (
        "d: «"
        + base64.b64encode(gzip.compress(f"export TOKEN={TOKEN}\n".encode(), mtime=0)).decode()
        + "»\n",
        TOKEN,
        "gzip",
    ),
    "joined strings": (
        f'key = («"{TOKEN[:10]}" +\n       "{TOKEN[10:]}»")\n'.replace('«"', '"«'),
        TOKEN,
        "joined",
    ),
    "user and password in a sentence": (
        f"for staging it's deploy / «{PASSWORD}», user / pass\n",
        PASSWORD,
        "",
    ),
    "user / pass": (f"user / pass: ops / «{PASSWORD}»\n", PASSWORD, ""),
    "client in a code block": (
        f"run this:\n```\nmysql -uadmin -p«{PASSWORD}» -h db.acme.test shop\n```\n",
        PASSWORD,
        "",
    ),
    "client in a code macro": (
        (
            '<ac:structured-macro ac:name="code"><ac:plain-text-body><![CDATA[mysql -uadmin -p«'
            f"{PASSWORD}» shop]]></ac:plain-text-body></ac:structured-macro>\n"
        ),
        PASSWORD,
        "",
    ),
    "pair 200 lines apart": (
        f"aws_access_key_id = {KEY_ID}\n" + "option = value\n" * 200 + f"aws_secret_access_key = «{KEY}»\n",
        KEY,
        "raw",
    ),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The occurrences by the shape, from one run of the command."""
    folder = tmp_path_factory.mktemp("shapes")
    for number, (text, _, _) in enumerate(SHAPES.values()):
        (folder / f"{number}.txt").write_text(text.replace("«", "").replace("»", ""))
    wrong = TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b")
    (folder / "wrong.txt").write_text(f"token {wrong}\n")
    run = subprocess.run(
        [sys.executable, "-m", "unsprawl", "scan", str(folder), "--format", "jsonl", "--show-secrets"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    names = {f"{number}.txt": name for number, name in enumerate(SHAPES)} | {"wrong.txt": "wrong"}
    result: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for row in rows:
        result[names[Path(row["path"]).name]].append(row)
    return result


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_found_where_it_stands(found: dict[str, list[dict[str, Any]]], name: str) -> None:
    text, value, view = SHAPES[name]
    rows = [row for row in found[name] if row["secret"] == value]
    assert rows, [(row["rule"], row["secret"]) for row in found[name]]
    row = rows[0]
    before, _, rest = text.partition("«")
    inside = rest.partition("»")[0]
    start, end = len(before.encode()), len((before + inside).encode())
    exact = "base64" not in name
    if exact:
        assert (row["start"], row["end"]) == (start, end)
        assert row["line"] == before.count("\n") + 1
        assert row["column"] == len(before) - before.rfind("\n")
        assert row["line_end"] == row["line"] + inside.count("\n")
    else:
        assert start <= row["start"] < row["end"] <= end
    if view:
        assert view in row["views"]
    assert len(found[name]) == 1


def test_a_wrong_checksum_is_no_token(found: dict[str, list[dict[str, Any]]]) -> None:
    assert found["wrong"] == []


def test_the_pair_is_one_finding_with_both_places(found: dict[str, list[dict[str, Any]]]) -> None:
    (row,) = found["pair 200 lines apart"]
    assert row["companions"]["id"]
    assert row["attrs"]["parts"]["id"]["line"] == 1
