"""The values that flow from a surface to the store, and the protocols of those who handle them.

    Source.units ─▶ Unit ─▶ Source.read ─▶ Document ─▶ Detector.scan ─▶ Candidate
                                    ├────▶ Unchanged                       │
                                    ├────▶ Skipped                  Classifier.score
                                    └────▶ Checkpoint                      │
                                               └────────── Batch ◀── Occurrence

Everything is frozen and holds plain values, so that it can be sent to another process, except
``Document`` with a ``Stream`` body, which lives in the worker that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol, TypeAlias, runtime_checkable

from unsprawl.secret import Secret
from unsprawl.structs import Guarded, Struct, field
from unsprawl.vocabulary import Audience, Environment, Label, Severity, Status, Validity

__all__ = [
    "Audience",
    "Batch",
    "Candidate",
    "Carried",
    "Check",
    "Checkpoint",
    "Classifier",
    "Cleanable",
    "Cleanup",
    "Counts",
    "Cursor",
    "Detector",
    "Diagnosable",
    "Diagnosis",
    "Document",
    "Environment",
    "Event",
    "Gap",
    "Json",
    "Label",
    "Occurrence",
    "Part",
    "Place",
    "Refetchable",
    "Refused",
    "Seen",
    "Severity",
    "Skipped",
    "Source",
    "Status",
    "Stream",
    "Unchanged",
    "Unit",
    "Validity",
    "Verdict",
]

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
#: Where a source goes on reading a unit. Opaque to everyone but its source; inclusive: a source may
#: repeat what lies at the border, it must not miss it.
Cursor: TypeAlias = Mapping[str, Any]
#: ``seen(key)`` answers the version under which an item was last read by the present detection
#: (rules and model), None when it never was.
Seen: TypeAlias = Callable[[str], "str | None"]


# --- what a source tells -------------------------------------------------------------------------


class Unit(Guarded, frozen=True):
    """Minutes of work: a channel, a prefix, an image layer, up to 256 files.

    ``id`` is stable between runs, as far as the surface allows. ``parents`` names the rows of the
    ledger it counts for (default: a row of its own); a layer shared by three repositories has three.
    ``data`` is what ``read`` needs besides the id; it is never stored. ``expires_at`` tells when the surface
    deletes what is in it: a sweep reads what goes first before the rest.
    """

    id: str
    title: str = ""
    parents: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
    unseen = ("data", "expires_at")


class Stream(Struct, frozen=True):
    """A body too large to hold. ``open(offset)`` gives a binary file positioned there.

    Offsets other than 0 need ``seekable``. ``size`` is in bytes, None when unknown. Reading raises
    ``SourceError`` when the far side fails for good; the opener reconnects by itself before that.
    """

    open: Callable[[int], BinaryIO]
    size: int | None = None
    seekable: bool = False


class Part(Struct, frozen=True):
    """A stretch of a document with a place and an author of its own: one message of a thread.

    ``attrs`` are added to those of the document.
    """

    start: int
    uri: str
    url: str | None = None
    author: str | None = None
    modified_at: datetime | None = None
    attrs: Mapping[str, Json] = field(default_factory=dict)


class Document(Guarded, frozen=True, kw_only=True):
    """One thing that is read: a file, an object, an image layer, a page version, a thread.

    ``uri`` says where it is, ``path`` what people see (default: the uri's path). ``key`` is its stable
    identity (default: the uri), and goes with ``version`` to the ``seen`` table (no version: never
    remembered); one that begins with ``content:`` names content, which is the same in every source.
    ``attrs`` hold what the surface knows, under the names of ``docs/concepts.md``. ``member_attrs``
    answers, for the path of an archive member, what only that member has (an image layer: which later
    layer hides it); it is asked for members with candidates alone, so it may be slow.
    """

    uri: str
    body: bytes | Stream
    path: str = ""
    media_type: str = ""
    key: str = ""
    version: str | None = None
    url: str | None = None
    author: str | None = None
    modified_at: datetime | None = None
    audience: Audience = Audience.UNKNOWN
    attrs: Mapping[str, Json] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    member_attrs: Callable[[str], Mapping[str, Json]] | None = None
    unseen = ("member_attrs",)


class Unchanged(Struct, frozen=True):
    """Items known by version and not read again.

    ``document`` (without its body) is given where what surrounds a known content may be new: its sightings
    take over path, author, attributes and so on. Where the content was read by another source, this one
    gets sightings of its own. An attribute that is None is removed.
    """

    count: int = 1
    document: Document | None = None


class Skipped(Struct, frozen=True):
    """Seen, but not read, or not wholly. A result like any other: it stands in the ledger.

    ``excluded`` marks what the owner left out or accepted as a gap; it leaves the run complete.
    ``parents`` names the ledger's row for a skip that ``Source.units`` reports, where no unit exists.
    ``gone`` is said by ``Refetchable.fetch`` alone: the surface answers that it is not there any more.
    """

    uri: str
    reason: str
    hint: str = ""
    excluded: bool = False
    parents: tuple[str, ...] = ()
    gone: bool = False


class Checkpoint(Struct, frozen=True):
    """All before this point of the unit was delivered.

    An empty cursor ends a unit that begins anew in the next run: no step goes on from it.
    """

    cursor: Cursor


Event: TypeAlias = Document | Unchanged | Skipped | Checkpoint


class Source(Protocol):
    """A surface. ``name`` is the key under ``sources:`` in the configuration, ``type`` its module's name.

    ``reads_in`` says where ``read`` runs: in any ``worker`` (bulk stores), or in a thread of the
    ``coordinator`` (tenants whose limits are shared by all requests). Both methods raise
    ``SourceError``; instances are built from their configuration in every process that needs one.
    """

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def reads_in(self) -> Literal["worker", "coordinator"]: ...

    def units(self, seen: Seen) -> Iterable[Unit | Skipped]:
        """Enumerate the work, in a stable order. May be slow: it runs beside the reading."""
        ...

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """Read one unit from ``since`` on (None: from the start)."""
        ...


@runtime_checkable
class Refetchable(Protocol):
    """A source that can read one document again: "is it gone?" without stored plaintext.

    Only ``Skipped.gone`` says so: what is refused, or cannot be reached, may still stand there.
    """

    def fetch(self, uri: str) -> Document | Skipped: ...


class Cleanup(Struct, frozen=True):
    """One way in which a source can end an exposure at one place.

    ``action`` names it (``delete-version``), ``title`` says what it does, ``undo`` the way back, or that
    there is none. ``state`` stands for what is there now: it changes when that does.
    """

    action: str
    title: str
    undo: str
    state: str


@runtime_checkable
class Cleanable(Protocol):
    """A source that can clean one place, with the rights of its own credentials. Raises ``SourceError``."""

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:
        """What could be done at a place, by what is there now. Changes nothing; () where nothing can."""
        ...

    def clean(self, uri: str, attrs: Mapping[str, Any], action: str, redact: Callable[[str], str]) -> str:
        """Do it, and answer what was done. ``redact`` gives a text without the secret."""
        ...


class Diagnosis(Struct, frozen=True):
    """One line of ``unsprawl doctor``: what was tried, whether it works, what to do if not."""

    what: str
    ok: bool
    hint: str = ""


@runtime_checkable
class Diagnosable(Protocol):
    """A source that can say, with few requests, what it reaches and what it will not see."""

    def diagnose(self) -> Iterator[Diagnosis]: ...


# --- what the detection tells --------------------------------------------------------------------


class Place(Struct, frozen=True):
    """A half-open byte span of a document or member, and the 1-based line and column of its start."""

    start: int
    end: int
    line: int
    column: int


class Candidate(Struct, frozen=True, kw_only=True):
    """A string that may be a secret, with the place where it stands.

    ``start`` and ``end`` are a half-open byte span in the document, or in the archive ``member``
    (``inner/a.tar!/b.env``), as it was read; for decoded views the smallest stretch that yields the
    value. ``line``, ``column`` and ``line_end`` are 1-based, columns in code points. ``before``,
    ``text`` and ``after`` are the source bytes around and in the span, for the classifier and the
    redacted context. ``places`` tell where the companions stand, as far as they stand in the document
    themselves. ``check`` is the offline verdict of the rule (None: the format has none). ``doubt`` is why
    a filter holds it for no credential; such candidates come only to those who ask for them.
    """

    rule: str
    secret: Secret
    start: int
    end: int
    line: int
    column: int
    line_end: int
    member: str = ""
    views: tuple[str, ...] = ()
    companions: Mapping[str, Secret] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    before: bytes = b""
    text: bytes = b""
    after: bytes = b""
    check: Check | None = None
    doubt: str = ""


class Verdict(Guarded, frozen=True):
    """``confidence`` is the probability that the candidate is a credential value at all.

    ``vector`` says what the surroundings look like (``models/embedding.py``), ``like`` names the finding
    marked as a false positive that they resemble. Both are empty where nothing is remembered.
    """

    confidence: float
    label: Label = Label.REAL
    environment: Environment = Environment.UNKNOWN
    vector: bytes = b""
    like: str = ""
    unseen = ("vector",)


class Check(Struct, frozen=True):
    """The answer of an offline or live check, with its evidence in a person's words."""

    validity: Validity
    evidence: str = ""
    privilege: str = ""
    checked_at: datetime | None = None
    exact: bool = False
    """The format proves itself (a checksum fits, a key parses): the classifier may rank, never drop it."""


class Detector(Protocol):
    """Content to candidates. ``Skipped`` says what a budget or a broken archive cut off."""

    @property
    def version(self) -> str:
        """Changes when the same text could give other candidates: it dates what was seen."""
        ...

    def scan(self, document: Document) -> Iterable[Candidate | Skipped]: ...

    def quiet(self, documents: Sequence[Document]) -> Sequence[bool]:
        """Which of some short texts hold nothing for sure: they need not be scanned."""
        ...


class Classifier(Protocol):
    @property
    def version(self) -> str: ...

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> Sequence[Verdict]: ...


# --- what is committed ---------------------------------------------------------------------------


class Counts(Struct, frozen=True):
    """What a unit (or a run) amounts to. ``read_bytes`` are the bytes of the documents as fetched."""

    documents: int = 0
    unchanged: int = 0
    skipped: int = 0
    excluded: int = 0
    read_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.documents + other.documents,
            self.unchanged + other.unchanged,
            self.skipped + other.skipped,
            self.excluded + other.excluded,
            self.read_bytes + other.read_bytes,
        )


class Occurrence(Guarded, frozen=True, kw_only=True):
    """One sighting of one secret, fit to be stored: fingerprinted and redacted.

    ``finding`` is the keyed identity of the case, ``ordinal`` counts its sightings in one document
    (0-based), so that (finding, document, ordinal) survives edits elsewhere in the text.
    ``title`` and ``provider`` are the rule's. ``document`` is a keyed stand-in for the document's uri.
    ``sealed`` is the encrypted value, ``clear`` the value itself; both are None unless they were
    asked for, and ``clear`` is never stored. ``proven``: the format proves itself. ``vector`` and ``like``
    are those of the verdict.
    """

    finding: str
    fingerprint: str
    rule: str
    title: str
    provider: str
    document: bytes
    ordinal: int
    secret: str
    source: str
    surface: str
    uri: str
    path: str
    line: int
    column: int
    line_end: int
    start: int
    end: int
    confidence: float
    severity: Severity
    label: Label = Label.REAL
    environment: Environment = Environment.UNKNOWN
    validity: Validity = Validity.UNKNOWN
    evidence: str = ""
    url: str | None = None
    views: tuple[str, ...] = ()
    attrs: Mapping[str, Json] = field(default_factory=dict)
    companions: Mapping[str, str] = field(default_factory=dict)
    author: str | None = None
    modified_at: datetime | None = None
    audience: Audience = Audience.UNKNOWN
    version: str | None = None
    context: str = ""
    sealed: bytes | None = None
    clear: str | None = None
    clear_context: str | None = None
    proven: bool = False
    vector: bytes = b""
    like: str = ""
    unseen = ("sealed", "clear", "clear_context", "vector")


class Carried(Struct, frozen=True, kw_only=True):
    """What is new around a known content, fit to be stored: see :class:`Unchanged`. Redacted."""

    document: bytes
    surface: str
    uri: str
    path: str
    url: str | None
    author: str | None
    modified_at: datetime | None
    audience: Audience
    attrs: Mapping[str, Json]


class Refused(Struct, frozen=True):
    """A candidate that was held for no credential, as it is stored: by its fingerprint alone.

    ``document`` is the keyed stand-in for its document, ``uri`` is redacted.
    """

    fingerprint: str
    document: bytes
    rule: str
    confidence: float
    uri: str
    line: int


class Gap(Struct, frozen=True):
    """A redacted ``Skipped``: one line of the ledger."""

    uri: str
    reason: str
    hint: str = ""
    excluded: bool = False


class Batch(Struct, frozen=True, kw_only=True):
    """What one step did, committed in one transaction.

    ``documents`` are the keyed names of all documents read (their older occurrences that are not
    here again are gone), ``seen`` maps keyed names to versions. ``done``: the unit was read to its
    end. ``failure`` says why it was not, when it broke off; then ``done`` is true as well, for there
    is nothing more to read in this run. ``fatal`` stops the whole source. ``requests`` were made for it.
    ``canaries`` are sightings of what was planted to be found: no findings.
    """

    source: str
    unit: Unit
    counts: Counts = Counts()
    occurrences: tuple[Occurrence, ...] = ()
    refused: tuple[Refused, ...] = ()
    carried: tuple[Carried, ...] = ()
    documents: tuple[bytes, ...] = ()
    seen: tuple[tuple[bytes, str], ...] = ()
    gaps: tuple[Gap, ...] = ()
    cursor: Cursor | None = None
    done: bool = False
    failure: Gap | None = None
    fatal: bool = False
    requests: int = 0
    canaries: tuple[Occurrence, ...] = ()
