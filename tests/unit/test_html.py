from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from report_rows import HOSTILE, coverage, hostile_row, report, row

from unsprawl.report import html
from unsprawl.store.sink import CoverageRow

VOID = {"meta", "br", "input", "rect"}


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def page_of(rows: list[dict[str, Any]], **changes: Any) -> str:
    out = io.StringIO()
    html.write(report(rows, **changes), out)
    return out.getvalue()


def test_loads_nothing_and_runs_only_its_own_script() -> None:
    text = page_of([row(1), hostile_row(2)])
    page = Page(text)
    assert page.stack == []
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for tag, attributes in page.tags:
        assert tag not in {
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "use",
        }
        assert not any(name.startswith("on") or name in {"src", "srcset", "style"} for name in attributes)


def test_hostile_text_stays_text() -> None:
    text = page_of([hostile_row()], title=HOSTILE)
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not any((a.get("href") or "").startswith("javascript") for _, a in page.tags)


def test_permalinks_open_pages_only() -> None:
    text = page_of([row(1, url="https://wiki.test/p?a=1&b=2"), row(2, url="file:///etc/passwd")])
    links = [a["href"] for t, a in Page(text).tags if t == "a"]
    assert links == ["#coverage", "https://wiki.test/p?a=1&b=2"]


def test_says_what_was_not_read_and_what_to_do() -> None:
    text = page_of([row(1)])
    assert "Coverage is incomplete" in text
    assert "the archive expands beyond 1 GB" in text
    assert "excluded by the configuration" in text
    assert "Look in the audit log for its use" in text


def test_complete_and_clean() -> None:
    rows = [CoverageRow(source="files", title="app", status="complete", documents=3)]
    text = page_of([], coverage=rows, complete=True)
    assert "Coverage is complete" in text
    assert "No secrets were found" in text
    assert Page(text).stack == []


def test_the_secret_is_marked_in_its_context() -> None:
    text = page_of([row(1, context='a = 1\ntoken = "ghp_…x9Qz"  # here')])
    assert '<pre tabindex="0">a = 1\ntoken = &#34;<mark>ghp_…x9Qz</mark>&#34;  # here\n</pre>' in text


def test_a_long_page_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_FINDINGS", 3)
    text = page_of([row(n) for n in range(5)] + [row(1) for _ in range(60)])
    assert text.count("<details") == 3
    assert "2 more findings are left out" in text
    assert "and 11 more" in text


def test_filters_know_every_source() -> None:
    rows = [row(1, source="files"), row(1, source="chat"), row(2, source='we"ird')]
    text = page_of(rows)
    found = {a["data-source"] for t, a in Page(text).tags if t == "details"}
    assert found == {" 1 0 ", " 2 "}
    assert coverage()
