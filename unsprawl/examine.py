"""One document in, its occurrences out: scanned, classified, fingerprinted, redacted.

This is the only place where a value in clear meets what will be stored, so the laws of redaction and
identity are kept here: everything that leaves is either keyed or masked.
"""

from __future__ import annotations

import logging
import traceback
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from unsprawl.errors import AuthError, SourceError
from unsprawl.neighbours import GROUP, SHOWN_COMPANIONS, blocks_of, groups, neighbours, values_of
from unsprawl.records import (
    Candidate,
    Carried,
    Classifier,
    Detector,
    Document,
    Environment,
    Gap,
    Json,
    Label,
    Occurrence,
    Refused,
    Severity,
    Skipped,
    Unit,
    Validity,
    Verdict,
)
from unsprawl.secret import Keys, Secret
from unsprawl.structs import Struct, field, replace

if TYPE_CHECKING:
    from unsprawl.detectors.rules import Rule
    from unsprawl.redaction import Redactor

__all__ = ["NOTHING", "Examined", "Examiner", "Looked", "defect", "finding_of", "severity_of"]

_log = logging.getLogger(__name__)

#: Bytes on each side that are shown in clear to whoever asks for it.
_CLEAR: Final = 256
_FINDING_DIGITS: Final = 16
#: Of one document so many refused candidates are kept, of this length in bytes.
_REFUSED: Final = 50
_SHORTEST_REFUSED: Final = 6
_LONGEST_REFUSED: Final = 4 << 10

_LADDER: Final = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
_HARMLESS: Final = frozenset(Label) - {Label.REAL, Label.WEAK}


def severity_of(rule: Severity, verdict: Verdict) -> Severity:
    """The rule's severity, moved by what the classifier saw: a test fixture is reported low, not lost."""
    if verdict.label in _HARMLESS:
        return Severity.LOW
    lower = verdict.environment in (Environment.DEVELOPMENT, Environment.TEST)
    return _LADDER[max(0, _LADDER.index(rule) - lower)]


def finding_of(keys: Keys, rule: Rule, candidate: Candidate) -> str:
    """The id of the finding that ``candidate`` is a sighting of."""
    scope = {name: candidate.companions[name] for name in rule.identity if name in candidate.companions}
    return keys.identity(candidate.secret, scope)[:_FINDING_DIGITS]


def defect(error: Exception, uri: str, doing: str) -> Skipped:
    """What the ledger says of an error nobody foresaw.

    Its text may quote what was read, so only its kind is told, and its place where debugging is on.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.debug("%s while %s\n%s", type(error).__name__, doing, frames)
    hint = "this is a defect of unsprawl or of a plug-in: run with --debug and report what it prints"
    return Skipped(uri, f"{type(error).__name__} while {doing}", hint)


class Examined(Struct, frozen=True):
    """What one document gave. ``whole`` is False when a part of it could not be read."""

    occurrences: tuple[Occurrence, ...]
    gaps: tuple[Gap, ...]
    refused: tuple[Refused, ...] = ()

    @property
    def whole(self) -> bool:
        return all(gap.excluded for gap in self.gaps)


NOTHING: Final = Examined((), ())


class Looked(Struct, frozen=True):
    """What the detector found in a document, to be judged together with what it finds in others.

    ``document`` is without its body: whoever waits must not hold what was read.
    """

    document: Document
    candidates: list[Candidate]
    gaps: list[Gap]


class _Account(Struct, frozen=True):
    """What is counted within one document: ordinals by finding, attributes by member, what was refused."""

    ordinals: dict[str, int] = field(default_factory=dict)
    attrs: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)


class Examiner(Struct, frozen=True, kw_only=True):
    """Detector, classifier, keys and redactor of one process.

    ``min_confidence`` (0 to 1) refuses what the classifier holds for no credential, except formats
    that prove themselves. ``seal`` keeps values encrypted beside their fingerprint; ``show_secrets``
    hands them on in clear for output, never for storage.
    """

    detector: Detector
    classifier: Classifier
    rules: Mapping[str, Rule]
    keys: Keys
    redactor: Redactor
    min_confidence: float
    seal: bool = False
    show_secrets: bool = False
    keep_refused: bool = False

    @property
    def version(self) -> str:
        """Dates what was seen: a text is read again when rules or model would judge it differently."""
        return f"{self.detector.version}+{self.classifier.version}"

    def examine(self, source: str, surface: str, document: Document) -> Examined:
        """Scan and judge ``document``. Never raises for its content; ``AuthError`` concerns the source."""
        looked = self.look(source, surface, document)
        return looked if isinstance(looked, Examined) else self.conclude(source, surface, [looked])[0]

    def quiet(self, documents: Sequence[Document]) -> Sequence[bool]:
        """Which of some short texts hold nothing, so that no other look at them is needed."""
        try:
            return self.detector.quiet(documents)
        except Exception:  # noqa: BLE001  # it is met again, and told, with the document that it comes from
            return [False] * len(documents)

    def look(self, source: str, surface: str, document: Document) -> Examined | Looked:
        """Scan ``document``. What holds more than the classifier takes at once is judged on the way."""
        gaps: list[Gap] = []
        occurrences: list[Occurrence] = []
        account = _Account()
        try:
            found = self.detector.scan(document)
            if found == ():
                return NOTHING  # like most
            candidates = self._candidates(document, found, gaps)
            head = list(islice(candidates, GROUP + 1))
            if 0 < len(head) <= GROUP:
                return Looked(replace(document, body=b""), head, gaps)
            for group, around in groups(chain(head, candidates)):
                verdicts = self.classifier.score([(document, candidate) for candidate in group])
                for occurrence in self._reported(
                    source, surface, document, group, verdicts, around, account, gaps
                ):
                    occurrences.append(occurrence)  # noqa: PERF402  # what came before an error is kept
        except AuthError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever fails: one document, not the crawl
            gaps.append(self._break(error, document.uri))
        return Examined(tuple(occurrences), tuple(gaps), tuple(account.refused.values()))

    def conclude(self, source: str, surface: str, looked: Sequence[Looked]) -> list[Examined]:
        """The verdicts on what was found in several documents, in their order. Raises ``AuthError`` only."""
        try:
            verdicts = iter(
                self.classifier.score([(one.document, found) for one in looked for found in one.candidates])
            )
        except Exception as error:  # noqa: BLE001
            if len(looked) > 1:
                return [examined for one in looked for examined in self.conclude(source, surface, [one])]
            gaps = [*looked[0].gaps, self._break(error, looked[0].document.uri)]
            return [Examined((), tuple(gaps))]
        return [
            self._concluded(source, surface, one, list(islice(verdicts, len(one.candidates))))
            for one in looked
        ]

    def _concluded(self, source: str, surface: str, looked: Looked, verdicts: list[Verdict]) -> Examined:
        occurrences: list[Occurrence] = []
        found, gaps, account = looked.candidates, looked.gaps, _Account()
        try:
            for occurrence in self._reported(
                source, surface, looked.document, found, verdicts, found, account, gaps
            ):
                occurrences.append(occurrence)  # noqa: PERF402
        except AuthError:
            raise
        except Exception as error:  # noqa: BLE001
            gaps.append(self._break(error, looked.document.uri))
        return Examined(tuple(occurrences), tuple(gaps), tuple(account.refused.values()))

    def gap(self, skipped: Skipped) -> Gap:
        """``skipped`` fit to be stored."""
        return Gap(
            self.redactor.text(skipped.uri),
            self.redactor.text(skipped.reason),
            self.redactor.text(skipped.hint),
            skipped.excluded,
        )

    def carried(self, source: str, surface: str, document: Document) -> Carried:
        """What is new around a known document, fit to be stored."""
        masked = self.redactor.text
        return Carried(
            document=self.keys.document(source, document.key or document.uri),
            surface=surface,
            uri=masked(document.uri),
            path=masked(document.path or _uri_path(document.uri)),
            url=masked(document.url) if document.url else None,
            author=masked(document.author) if document.author else None,
            modified_at=document.modified_at,
            audience=document.audience,
            attrs=self.redactor.attrs(document.attrs),
        )

    def unit(self, source: str, unit: Unit) -> Unit:
        """``unit`` fit to be stored: without its data, its id with a keyed tail where it had to be masked."""
        name = self.redactor.text(unit.id)
        if name != unit.id:
            name = f"{name}#{self.keys.name(source, unit.id).hex()[:8]}"
        parents = tuple(self.redactor.text(parent) for parent in unit.parents)
        return Unit(name, self.redactor.text(unit.title or unit.id), parents)

    def _reported(
        self,
        source: str,
        surface: str,
        document: Document,
        group: list[Candidate],
        verdicts: Sequence[Verdict],
        around: list[Candidate],
        account: _Account,
        gaps: list[Gap],
    ) -> Iterator[Occurrence]:
        blocks = blocks_of(around)
        for candidate, verdict in zip(group, verdicts, strict=True):
            exact = candidate.check is not None and candidate.check.exact
            if verdict.confidence < self.min_confidence and not exact:
                if self.keep_refused:
                    self._refuse(source, document, candidate, verdict, account)
                continue
            if candidate.member not in account.attrs:
                account.attrs[candidate.member] = self._attrs(document, candidate.member, gaps)
            attrs = account.attrs[candidate.member]
            known = neighbours(candidate, blocks)
            finding = finding_of(self.keys, self.rules[candidate.rule], candidate)
            ordinal = account.ordinals.get(finding, 0)
            account.ordinals[finding] = ordinal + 1
            yield self._occurrence(
                source, surface, document, candidate, verdict, attrs, known, finding, ordinal
            )

    def _refuse(
        self, source: str, document: Document, candidate: Candidate, verdict: Verdict, account: _Account
    ) -> None:
        value = candidate.secret.reveal()
        if len(account.refused) >= _REFUSED or not _SHORTEST_REFUSED <= len(value) <= _LONGEST_REFUSED:
            return
        fingerprint = self.keys.fingerprint(candidate.secret)
        if fingerprint not in account.refused:
            inner = f"!/{candidate.member}" if candidate.member else ""
            uri = self.redactor.text(_place(document, candidate.start).uri + inner, values_of(candidate))
            name = self.keys.name(source, document.uri)
            confidence = round(verdict.confidence, 4)
            account.refused[fingerprint] = Refused(
                fingerprint, name, candidate.rule, confidence, uri, candidate.line
            )

    def _candidates(
        self, document: Document, found: Iterable[Candidate | Skipped], gaps: list[Gap]
    ) -> Iterator[Candidate]:
        # What was found before the stream or the parser broke stays found, so the error ends here.
        try:
            for item in found:
                if isinstance(item, Skipped):
                    gaps.append(self.gap(item))
                else:
                    yield item
        except AuthError:
            raise
        except Exception as error:  # noqa: BLE001
            gaps.append(self._break(error, document.uri))

    def _break(self, error: Exception, uri: str) -> Gap:
        if isinstance(error, SourceError):
            return self.gap(Skipped(uri, error.message, error.hint))
        # A parser met bytes nobody thought of: that costs one document, not the crawl.
        return self.gap(defect(error, uri, "examining"))

    def _attrs(self, document: Document, member: str, gaps: list[Gap]) -> Mapping[str, Json]:
        if not member or document.member_attrs is None:
            return document.attrs
        try:
            return {**document.attrs, **document.member_attrs(member)}
        except AuthError:
            raise
        except SourceError as error:
            gaps.append(self.gap(Skipped(f"{document.uri}!/{member}", error.message, error.hint)))
            return document.attrs

    def _occurrence(
        self,
        source: str,
        surface: str,
        document: Document,
        candidate: Candidate,
        verdict: Verdict,
        attrs: Mapping[str, Json],
        known: list[Secret],
        finding: str,
        ordinal: int,
    ) -> Occurrence:
        rule = self.rules[candidate.rule]
        secret = candidate.secret
        inner = f"!/{candidate.member}" if candidate.member else ""
        place = _place(document, candidate.start)
        check = candidate.check
        context = self.redactor.context(candidate.before, candidate.text, candidate.after, secret, known)

        def masked(text: str) -> str:
            return self.redactor.text(text, known)

        return Occurrence(
            finding=finding,
            fingerprint=self.keys.fingerprint(secret),
            rule=rule.id,
            title=rule.name,
            provider=rule.provider,
            document=self.keys.document(source, document.key or document.uri),
            ordinal=ordinal,
            secret=secret.preview,
            source=source,
            surface=surface,
            uri=masked(place.uri + inner),
            path=masked((document.path or _uri_path(document.uri)) + inner),
            line=candidate.line,
            column=candidate.column,
            line_end=candidate.line_end,
            start=candidate.start,
            end=candidate.end,
            confidence=round(verdict.confidence, 4),
            severity=severity_of(rule.severity, verdict),
            label=verdict.label,
            environment=verdict.environment,
            validity=check.validity if check else Validity.UNKNOWN,
            evidence=masked(check.evidence) if check else "",
            url=masked(place.url) if place.url else None,
            views=candidate.views,
            attrs=self.redactor.attrs({**attrs, **place.attrs, **_parts(document, candidate)}, known),
            companions={
                name: masked(value.text()) if name in SHOWN_COMPANIONS else value.preview
                for name, value in candidate.companions.items()
            },
            author=masked(place.author) if place.author else None,
            modified_at=place.modified_at,
            audience=document.audience,
            version=document.version,
            context=context,
            sealed=self._sealed(finding, candidate) if self.seal else None,
            clear=secret.text() if self.show_secrets else None,
            clear_context=_clear_context(candidate) if self.show_secrets else None,
            proven=check is not None and check.exact,
            vector=verdict.vector,
            like=verdict.like,
        )

    def _sealed(self, finding: str, candidate: Candidate) -> bytes:
        import msgspec

        from unsprawl.store.seal import seal

        values = {"secret": candidate.secret.reveal()}
        values |= {f"companion.{name}": value.reveal() for name, value in candidate.companions.items()}
        return seal(self.keys, finding.encode(), msgspec.msgpack.encode(values))


def _place(document: Document, start: int) -> Document:
    """The document, or the part of it that begins at or before ``start``. ``attrs`` are the part's own."""
    if not document.parts:
        return replace(document, attrs={})
    index = bisect_right([part.start for part in document.parts], start) - 1
    if index < 0:
        return replace(document, attrs={})
    part = document.parts[index]
    return replace(
        document,
        attrs=part.attrs,
        uri=part.uri,
        url=part.url or document.url,
        author=part.author or document.author,
        modified_at=part.modified_at or document.modified_at,
    )


def _parts(document: Document, candidate: Candidate) -> Mapping[str, Json]:
    """Where the companions stand, each with its own place."""
    found: dict[str, Json] = {}
    for name, at in candidate.places.items():
        found[name] = {"line": at.line, "column": at.column, "start": at.start, "end": at.end}
        if document.parts:
            found[name] = {**found[name], "uri": _place(document, at.start).uri}  # type: ignore[dict-item]
    return {"parts": found} if found else {}


def _uri_path(uri: str) -> str:
    return uri.partition("://")[2] or uri


def _clear_context(candidate: Candidate) -> str:
    before, after = candidate.before[-_CLEAR:], candidate.after[:_CLEAR]
    return (before + candidate.text + after).decode("utf-8", "replace")
