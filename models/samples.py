"""Training samples: what the product's own detector finds in labelled texts.

A candidate gets the label of the span it overlaps, so that training sees the very spans, surroundings and
views that serving sees. Whoever calls hands the detector over; this module knows its protocol only.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from unsprawl import lexicon
from unsprawl.models.features import Batch, extract
from unsprawl.models.labelled import Row
from unsprawl.models.surfaces import surface_of
from unsprawl.records import Candidate, Detector, Document, Environment, Label
from unsprawl.secret import Secret
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.models.synthesis.texts import LabelledText

__all__ = [
    "ENVIRONMENTS",
    "LABELS",
    "POSITIVE",
    "UNKNOWN",
    "Samples",
    "family",
    "gather",
    "join",
    "negative_label",
    "of_rows",
]

LABELS: Final = tuple(Label)
ENVIRONMENTS: Final = tuple(Environment)
#: Labels of what is a credential value.
POSITIVE: Final = frozenset({Label.REAL, Label.WEAK, Label.TEST})
#: A label or environment that nobody knows: it takes no part in the loss.
UNKNOWN: Final = -100
_CHUNK: Final = 128
#: A document's address tells its surface; training texts have no other.
_SCHEMES: Final = {"chat": "slack", "issue": "jira", "wiki": "confluence", "ci": "ci", "mail": "mail"}
_Found: TypeAlias = "tuple[Document, Candidate, float, int, int, str, str]"


@dataclass(frozen=True, slots=True)
class Samples:
    """Candidates as the network reads them, and what is known of each.

    ``group`` says what must not be split, ``source`` is its first part (``repo``, ``carrier``, …).
    """

    batch: Batch
    secret: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    environment: npt.NDArray[np.int64]
    group: npt.NDArray[Any]
    surface: npt.NDArray[Any]
    family: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.secret)

    def take(self, index: Any) -> Samples:
        return Samples(
            self.batch.take(index),
            self.secret[index],
            self.label[index],
            self.environment[index],
            self.group[index],
            self.surface[index],
            self.family[index],
        )

    @property
    def source(self) -> npt.NDArray[Any]:
        return np.array([group.partition(":")[0] for group in self.group.tolist()])

    def save(self, path: Path) -> None:
        batch = self.batch
        np.savez(
            path,
            rows=batch.rows,
            numbers=batch.numbers.astype(np.float32),
            words=batch.words.astype(np.uint16),
            grams=batch.grams.astype(np.uint16),
            secret=self.secret,
            label=self.label,
            environment=self.environment,
            group=self.group,
            surface=self.surface,
            family=self.family,
        )

    @classmethod
    def load(cls, path: Path) -> Samples:
        with np.load(path) as held:
            batch = Batch(
                held["rows"],
                held["numbers"],
                held["words"].astype(np.int32),
                held["grams"].astype(np.int32),
            )
            names = ("secret", "label", "environment", "group", "surface", "family")
            return cls(batch, *(held[name] for name in names))


def join(parts: Sequence[Samples]) -> Samples:
    """All samples of ``parts``."""
    batches = [part.batch for part in parts]
    names = ("rows", "numbers", "words", "grams")
    batch = Batch(*(np.concatenate([getattr(one, name) for one in batches]) for name in names))
    rest = ("secret", "label", "environment", "group", "surface", "family")
    return Samples(batch, *(np.concatenate([getattr(part, name) for part in parts]) for name in rest))


def negative_label(value: bytes, line: bytes) -> Label | None:
    """What a value that is no secret is, where its form tells."""
    if lexicon.is_placeholder(value):
        return Label.PLACEHOLDER
    if value[:1] in (b"$", b"%", b"{", b"<") or b"${" in value or value.count(b".") > 1:
        return Label.REFERENCE
    kind = lexicon.alphabet(value)
    if kind == "hex" and len(value) in (32, 40, 56, 64, 96, 128):
        return Label.HASH
    if b"publi" in line.lower() and len(value) > 24:
        return Label.PUBLIC
    if lexicon.words_in(value) > 0.6 and b" " not in value:
        return Label.IDENTIFIER
    return None


def _document(text: LabelledText) -> Document:
    scheme = _SCHEMES.get(text.surface, "file")
    return Document(uri=f"{scheme}://{text.path}", path=text.path, body=text.body)


def _of_text(text: LabelledText, detector: Detector) -> Iterator[_Found]:
    document = _document(text)
    place = ENVIRONMENTS.index(text.environment) if text.environment is not Environment.UNKNOWN else UNKNOWN
    for found in detector.scan(document):
        if not isinstance(found, Candidate) or found.member:
            continue
        span = next((one for one in text.spans if found.start < one.end and one.start < found.end), None)
        if span is None:
            if not text.silent:
                continue
            value = found.secret.reveal()
            label = negative_label(value, found.before[-96:])
            yield document, found, 0.0, _index(label), place, text.group, text.surface
        else:
            secret = float(span.label in POSITIVE)
            yield document, found, secret, _index(span.label), place, text.group, text.surface


def _of_row(row: Row, detector: Detector, *, shared: bool) -> Iterator[_Found]:
    document = row.document
    for found in detector.scan(document):
        if not isinstance(found, Candidate) or found.start >= row.end or found.end <= row.start:
            continue
        over = found.start < row.value[1] and found.end > row.value[0]
        if (row.label == "T" or shared) and not over:
            continue
        value = found.secret.reveal()
        label = (
            _positive_label(value, document.path)
            if row.label == "T"
            else negative_label(value, found.before[-96:])
        )
        surface = surface_of(document, document.path)
        yield (
            document,
            found,
            float(row.label == "T"),
            _index(label),
            UNKNOWN,
            f"repo:{row.repository}",
            surface,
        )


def _positive_label(value: bytes, path: str) -> Label:
    if any(word in path.lower() for word in ("test", "spec/", "fixture", "mock")):
        return Label.TEST
    weak = lexicon.is_weak(value) or (value.isalpha() and value.islower() and len(value) < 12)
    return Label.WEAK if weak else Label.REAL


def _index(label: Label | None) -> int:
    return UNKNOWN if label is None else LABELS.index(label)


def _arranged(found: Sequence[_Found], kinds: dict[str, str]) -> Samples | None:
    if not found:
        return None
    batch = extract([(one[0], one[1]) for one in found], kinds)
    return Samples(
        batch,
        np.array([one[2] for one in found], np.float32),
        np.array([one[3] for one in found], np.int64),
        np.array([one[4] for one in found], np.int64),
        np.array([one[5] for one in found], "U48"),
        np.array([one[6] for one in found], "U12"),
        np.array([family(one[1].rule, kinds) for one in found], "U24"),
    )


def family(rule: str, kinds: dict[str, str]) -> str:
    """What rules are calibrated together: the carrier's provider for generic rules, the kind for others."""
    kind = kinds.get(rule, "exact")
    return rule.partition(".")[0] if kind == "generic" else kind


_work: tuple[Detector, dict[str, str]] | None = None


def _chunk(texts: Sequence[LabelledText]) -> Samples | None:
    assert _work is not None
    detector, kinds = _work
    return _arranged([found for text in texts for found in _of_text(text, detector)], kinds)


def gather(
    texts: Iterable[LabelledText],
    detector: Detector,
    kinds: dict[str, str],
    *,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Samples:
    """The samples of ``texts``, in their order. Raises ``ValueError`` when there are none."""
    global _work  # noqa: PLW0603  # inherited by the forked workers: a detector cannot be sent
    _work = (detector, kinds)
    parts: list[Samples] = []
    source = iter(texts)
    chunks = iter(lambda: list(islice(source, _CHUNK)), [])
    if jobs > 1:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            for number, part in enumerate(pool.imap(_chunk, chunks)):
                _keep(parts, part, number, progress)
    else:
        for number, part in enumerate(map(_chunk, chunks)):
            _keep(parts, part, number, progress)
    if not parts:
        raise ValueError("the texts hold no candidates")
    return _distinct(join(parts))


def _keep(
    parts: list[Samples], part: Samples | None, number: int, progress: Callable[[int], None] | None
) -> None:
    if part is not None:
        parts.append(part)
    if progress is not None:
        progress((number + 1) * _CHUNK)


def of_rows(rows: Iterable[Row], detector: Detector, kinds: dict[str, str], *, view: str = "") -> Samples:
    """The samples of labelled lines as they are.

    ``view`` is for studies: ``carrier`` replaces every value by the same word, ``value`` takes away all else.
    """
    rows = list(rows)
    told = {row.place for row in rows if row.label == "T"}
    found = [one for row in rows for one in _of_row(row, detector, shared=row.place in told)]
    if view:
        found = [(*_seen(document, candidate, view), *rest) for document, candidate, *rest in found]  # type: ignore[misc]
    parts = [
        part
        for start in range(0, len(found), 4096)
        if (part := _arranged(found[start : start + 4096], kinds)) is not None
    ]
    return join(parts)


def _seen(document: Document, candidate: Candidate, view: str) -> tuple[Document, Candidate]:
    if view == "carrier":
        return document, replace(candidate, secret=Secret(b"wordword"), check=None)
    plain = replace(
        candidate, rule="generic.any", before=b"", after=b"", line=1, line_end=1, companions={}, check=None
    )
    return replace(document, path="", uri=""), plain


def _distinct(samples: Samples, most: int = 4) -> Samples:
    """At most ``most`` samples with the same value, line and name: copies teach nothing."""
    seen: dict[bytes, int] = {}
    kept = []
    for number, row in enumerate(samples.batch.rows[:, :288]):
        key = row.tobytes()
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= most:
            kept.append(number)
    return samples.take(np.array(kept))
