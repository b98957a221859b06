"""The join: of everything that pastes hold, what has to do with the organisation."""

from __future__ import annotations

from collections.abc import Mapping

from unsprawl.records import Batch, Occurrence
from unsprawl.redaction import Redactor
from unsprawl.store.watch import Cue, Paste, redacted
from unsprawl.watch.survey import Own

__all__ = ["join"]


def join(
    batch: Batch, cues: Mapping[bytes, Cue], own: Own, strangers: bool, mentions: bool, redactor: Redactor
) -> tuple[list[Paste], tuple[Occurrence, ...]]:
    """The pastes of ``batch`` that are worth telling, and the occurrences that are worth keeping.

    A paste is ours when it holds a value of our own; weak ones, which others have as well, count only beside
    one of our names. What is neither ours nor names us belongs to strangers: it is kept and told where
    ``strangers`` says so. Of a list of accounts nothing is kept but our own lines.
    """
    found: dict[bytes, list[Occurrence]] = {}
    for occurrence in batch.occurrences:
        found.setdefault(occurrence.document, []).append(occurrence)
    pastes: list[Paste] = []
    kept: list[Occurrence] = []
    for document, cue in cues.items():
        here = found.pop(document, [])
        mine = frozenset(
            one.fingerprint
            for one in here
            if one.fingerprint in cue.own or (cue.names and one.fingerprint in own.rules)
        )
        if cue.combo:
            here = [one for one in here if one.fingerprint in mine or one.line in cue.lines]
        elif not (mine or cue.names or strangers):
            here = []
        kept += here
        tell_names = mentions and bool(cue.names)
        if here or tell_names:
            safe = redacted(cue, redactor.text)
            pastes.append(
                Paste(
                    source=batch.source,
                    document=document,
                    cue=safe,
                    occurrences=tuple(here),
                    own=mine,
                    tell_names=tell_names,
                )
            )
    return pastes, tuple(kept)
