"""Text free of secrets from any Debian machine: manuals, changelogs, sources and notes of packages."""

from __future__ import annotations

import hashlib
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from unsprawl.models.synthesis.texts import LabelledText
from unsprawl.models.synthesis.wordlists import NAMES

__all__ = ["ROOTS", "Files"]

ROOTS: Final = ("/usr/share/doc", "/usr/share/man/man1", "/usr/share/man/man5", "/usr/share/man/man7",
    "/usr/share/man/man8", "/usr/lib/python3", "/usr/share/perl", "/usr/share/vim", "/usr/share/nodejs",
    "/usr/share/javascript", "/usr/share/bash-completion")  # fmt: skip
_ENDS: Final = re.compile(r"\.(?:gz|py|pm|pl|vim|txt|md|rst|js|ts|json|html|sh|conf|\d|yml|yaml)$|/[^/.]+$")
_DENSE: Final = re.compile(rb"passw|token|secret|api.?key|credential|auth|[0-9a-f]{32}", re.IGNORECASE)
#: Manuals of what handles credentials, and tests, may show working examples.
_LEFT_OUT: Final = re.compile(r"/tests?/|test_|\.pem$|\.key$|openssl|gnutls|/examples/")
_MOST: Final = 2_000_000
_WINDOW: Final = 1200
#: One package with thousands of manuals must not be half of all text.
_PER_PACKAGE: Final = 60


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one split."""

    paths: tuple[str, ...]
    packages: tuple[str, ...]

    @classmethod
    def find(cls, split: str, roots: tuple[str, ...] = ROOTS, most: int = 4000) -> Files:
        """At most ``most`` files, the same on every machine that has the same ones."""
        held = split == "development"
        found = sorted(
            (_hash(path), path, package)
            for root in roots
            for path in _below(root)
            for package in (_package(path, root),)
            if (_hash(package) % 5 == 0) == held
        )
        held_by: dict[str, int] = {}
        chosen = []
        for _, path, package in found:
            held_by[package] = held_by.get(package, 0) + 1
            if held_by[package] <= _PER_PACKAGE:
                chosen.append((path, package))
        return cls(tuple(path for path, _ in chosen[:most]), tuple(package for _, package in chosen[:most]))

    def draw(self, draw: random.Random) -> LabelledText | None:
        """A window of a file, most often around a line that names a credential; None for what is no text."""
        number = draw.randrange(len(self.paths))
        path = self.paths[number]
        data = _read(path)
        if len(data) < 80:
            return None
        near = [hit.start() for hit in _DENSE.finditer(data)] if draw.random() < 0.8 else []
        middle = draw.choice(near) if near else draw.randrange(len(data))
        start = data.find(b"\n", max(0, middle - draw.randint(100, _WINDOW))) + 1
        end = data.find(b"\n", middle + draw.randint(100, _WINDOW))
        body = data[start : end if end > 0 else len(data)]
        return _dressed(draw, body, path, self.packages[number])

    def whole(self, seed: int) -> Iterator[LabelledText]:
        """Every file once, whole, as it is or in the dress of another surface."""
        draw = random.Random(f"{seed} whole")  # noqa: S311  # the same seed must give the same texts
        for path, package in zip(self.paths, self.packages, strict=True):
            data = _read(path)
            if len(data) >= 80:
                yield _dressed(draw, data, path, package)


def _dressed(draw: random.Random, body: bytes, path: str, package: str) -> LabelledText:
    group, name = f"mined:{package}"[:48], path.removesuffix(".gz").lstrip("/")
    source = name.endswith((".py", ".pm", ".pl", ".js", ".ts", ".vim"))
    form = draw.choice(("", "", "", "chat", "issue", "issue", "wiki", "ci", "mail"))
    stem = name.rsplit("/", 1)[-1].split(".")[0]
    if form == "chat":
        lines = (
            b"%s: %s" % (draw.choice(NAMES).encode(), one.strip()) for one in body.splitlines() if one.strip()
        )
        return LabelledText(b"\n".join(lines), f"chat/{stem}.txt", "chat", (), group)
    if form == "issue":
        quoted = body if not source else b"This fails for me:\n\n```\n" + body + b"\n```\n"
        return LabelledText(quoted, f"issues/{stem}-1.md", "issue", (), group)
    if form == "wiki":
        kept = body.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b"\n\n", b"</p>\n<p>")
        return LabelledText(b"<p>" + kept + b"</p>", f"wiki/{stem}.html", "wiki", (), group)
    if form == "ci":
        ahead = b"2025-04-1%dT10:%02d:11.1234567Z " % (draw.randint(0, 9), draw.randint(0, 59))
        return LabelledText(
            b"\n".join(ahead + one for one in body.splitlines()), f"builds/{stem}.log", "ci", (), group
        )
    if form == "mail":
        head = f"From: {draw.choice(NAMES)}@acme.test\nSubject: {stem}\n\n".encode()
        return LabelledText(head + body, f"mail/{stem}.eml", "mail", (), group)
    return LabelledText(body, name, "source" if source else "docs", (), group)


def _below(root: str) -> Iterator[str]:
    folder = Path(root)
    if folder.is_dir():
        for path in folder.rglob("*"):
            name = path.as_posix()
            if (
                _ENDS.search(name)
                and not _LEFT_OUT.search(name.removeprefix(root))
                and path.is_file()
                and not path.is_symlink()
            ):
                yield name


def _package(path: str, root: str) -> str:
    """The package that a file belongs to: a manual's first word, else the folder below ``root``."""
    parts = path.removeprefix(root).strip("/").split("/")
    if "/man/" in root:
        return re.split(r"[_.-]", parts[-1])[0]
    if parts[0] == "dist-packages" and len(parts) > 1:
        return parts[1].removesuffix(".py")
    return parts[0]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@lru_cache(maxsize=1024)
def _read(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()[:_MOST]
        if path.endswith(".gz"):
            data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, _MOST)
    except (OSError, zlib.error):
        return b""
    return b"" if b"\0" in data else data
