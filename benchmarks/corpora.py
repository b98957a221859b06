"""The corpora: built once into a cache folder outside the repository, the same every time on one machine.

``source`` and ``layers`` are copies of what the machine has (Python's library, C headers, /usr parts), the
others are drawn from a fixed seed. Each holds a few planted secrets, whose places stand in ``places.json``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import sysconfig
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.material import LOG_KINDS, log_lines, message, sentences
from benchmarks.planted import Place, draw

__all__ = ["CORPORA", "DEFAULT", "Corpus", "build", "home"]

#: Raise it when a builder changes: what was built by an older one is then built again.
_VERSION = 3
_TEXT = frozenset(
    ".c .cc .cfg .cmake .conf .cpp .css .csv .go .h .hpp .html .inc .ini .java .js .json .md .mjs .php .pl "
    ".pm .py .pyi .rb .rs .rst .sh .td .toml .ts .txt .vim .xml .yaml .yml".split()
)
_SOURCES = (
    sysconfig.get_path("purelib"),
    sysconfig.get_path("stdlib"),
    "/usr/include",
    "/usr/share",
    "/usr/lib/node_modules",
)
_LAYERS = (("/usr/bin", "/usr/lib"), ("/usr/share", "/usr/include"))
_LARGEST_FILE = 2_000_000
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder to scan; ``places`` are the planted secrets, ``size_bytes`` and ``files`` what is on disk."""

    name: str
    path: Path
    size_bytes: int
    files: int
    places: tuple[Place, ...]


def home() -> Path:
    """The cache folder: ``UNSPRAWL_BENCH_CACHE``, else below the user's own cache."""
    named = os.environ.get("UNSPRAWL_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "unsprawl-bench"


def build(name: str, scale: float = 1.0) -> Corpus:
    """The corpus of that name, built if the cache lacks it. ``scale`` 0.1 is a tenth of its size."""
    folder = home() / (name if scale == 1.0 else f"{name}-{scale:g}")
    stamp = folder / "places.json"
    if not stamp.exists() or json.loads(stamp.read_text())["version"] != _VERSION:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tree").mkdir(parents=True)
        places = list(CORPORA[name](folder / "tree", scale))
        stamp.write_text(json.dumps({"version": _VERSION, "places": [asdict(place) for place in places]}))
    places = [Place(**place) for place in json.loads(stamp.read_text())["places"]]
    sizes = [path.stat().st_size for path in (folder / "tree").rglob("*") if path.is_file()]
    return Corpus(name, folder / "tree", sum(sizes), len(sizes), tuple(places))


def _source(folder: Path, scale: float) -> Iterator[Place]:
    """Text files of the kinds that repositories hold, no content twice, up to 300 MB."""
    left, known = 300 * _MB * scale, set[bytes]()
    for number, path in enumerate(_walk(_SOURCES)):
        if path.suffix not in _TEXT or path.stat().st_size > _LARGEST_FILE:
            continue
        if scale < 1 and hashlib.blake2b(path.name.encode(), digest_size=1).digest()[0] > 255 * scale:
            continue  # a smaller corpus is a thinner one, not the first folders of the large one
        content = path.read_bytes()
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest in known:
            continue
        known.add(digest)
        target = folder.joinpath(*path.parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        left -= len(content)
        if left <= 0 or number > 200_000:
            break
    for number in range(20):
        yield _settings(folder, number)


def _settings(folder: Path, number: int) -> Place:
    kind, text = draw(number)
    path = folder / "deploy" / f"settings-{number:02d}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"# environment {number}\nreplicas: {number}\n{text}\n")
    return Place(f"deploy/{path.name}", 3, kind)


def _logs(folder: Path, scale: float) -> Iterator[Place]:
    """71 logs, 304 MB: build jobs, web servers, applications with stack traces, structured services."""
    prose = sentences()
    for number in range(71):
        kind = list(LOG_KINDS)[number % len(LOG_KINDS)]
        path = folder / f"{kind}-{number:02d}.log"
        yield from _log(path, kind, number, round(4.28 * _MB * scale), prose)


def _log(path: Path, kind: str, number: int, size: int, prose: list[str]) -> Iterator[Place]:
    written, planted = 0, number % 3 != 0
    with path.open("w", encoding="utf-8") as out:
        for line, text in enumerate(log_lines(kind, random.Random(f"log {number}"), prose), 1):
            if planted and written > size / 2:
                planted = False
                secret_kind, secret = draw(1000 + number)
                written += out.write(f"deploy: using {secret}\n")
                yield Place(path.name, line, secret_kind)
            else:
                written += out.write(text + "\n")
            if written >= size:
                return


def _messages(scale: float, count: int) -> Iterator[tuple[int, str, str]]:
    """Numbered chat messages, each with the kind of the secret it holds, if any."""
    random_, prose = random.Random("chat"), sentences()
    for number in range(round(count * scale)):
        kind, secret = draw(5000 + number) if number % 1999 == 7 else ("", "")
        extra = f" and here is the {secret} please rotate it" if secret else ""
        yield number, message(random_, prose, number, extra), kind


def _chat(folder: Path, scale: float) -> Iterator[Place]:
    """200,000 JSON messages of about 1.2 kB, a thousand to a file."""
    for file, group in itertools.groupby(_messages(scale, 200_000), key=lambda entry: entry[0] // 1000):
        path = folder / f"channel-{file:03d}.jsonl"
        with path.open("w", encoding="utf-8") as out:
            for line, (_, text, kind) in enumerate(group, 1):
                out.write(text + "\n")
                if kind:
                    yield Place(path.name, line, kind)


def _small(folder: Path, scale: float) -> Iterator[Place]:
    """60,000 messages, each a file of its own."""
    for number, text, kind in _messages(scale, 60_000):
        path = folder / f"{number // 1000:02d}" / f"{number:05d}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if kind:
            yield Place(f"{path.parent.name}/{path.name}", 1, kind)


def _layers(folder: Path, scale: float) -> Iterator[Place]:
    """Two image layers, about 75 MB each as gzip, of programs, libraries, documentation and headers."""
    for index, roots in enumerate(_LAYERS):
        path = folder / f"layer-{index}.tar.gz"
        with (
            path.open("wb") as raw,
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
        ):
            for number in range(5):
                kind, text = draw(9000 + 10 * index + number)
                name = f"srv/app/config-{number}.yaml"
                _add(archive, name, f"replicas: {number}\n{text}\n".encode())
                yield Place(f"{path.name}!/{name}", 2, kind)
            for member in _walk(roots):
                if member.stat().st_size <= 30 * _MB:
                    _add(archive, member.as_posix().lstrip("/"), member.read_bytes())
                if raw.tell() >= 75 * _MB * scale:
                    break


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def _one5g(folder: Path, scale: float) -> Iterator[Place]:
    """One log of 5 GB: what does not fit the memory a scan may take."""
    prose, path = sentences(), folder / "huge.log"
    blocks = [_block(f"huge {number}", 32 * _MB, prose) for number in range(3)]
    line = 0
    with path.open("wb") as out:
        for number in range(round(5000 / 32 * scale) or 1):
            kind, secret = draw(20_000 + number)
            block = blocks[number % len(blocks)]
            out.write(block + f"deploy: using {secret}\n".encode())
            line += block.count(b"\n") + 1
            yield Place(path.name, line, kind)


def _block(seed: str, size: int, prose: list[str]) -> bytes:
    lines, written = list[str](), 0
    for text in log_lines("application", random.Random(seed), prose):
        lines.append(text)
        written += len(text) + 1
        if written >= size:
            break
    return ("\n".join(lines) + "\n").encode()


def _walk(roots: tuple[str, ...]) -> Iterator[Path]:
    """Readable regular files below the roots, in an order that does not depend on the file system."""
    for root in roots:
        for folder, names, files in os.walk(root):
            names[:] = sorted(name for name in names if name != "__pycache__")
            for name in sorted(files):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                    yield path


CORPORA: dict[str, Callable[[Path, float], Iterator[Place]]] = {
    "source": _source,
    "logs": _logs,
    "chat": _chat,
    "small": _small,
    "layers": _layers,
    "one5g": _one5g,
}
DEFAULT = ("source", "logs", "chat", "small", "layers")
