"""What ``unsprawl doctor`` says of a build system: who asks, what is shown, what will not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from unsprawl.crawlers.ci.model import System
from unsprawl.errors import SourceError
from unsprawl.records import Diagnosis, Skipped

__all__ = ["diagnosed"]

#: Projects that are listed; the list itself may be long.
_SHOWN: Final = 1000


def diagnosed(system: System, base: str, wanted: Sequence[str]) -> Iterator[Diagnosis]:
    """One thing after the other; what stands on a failed one is not tried."""
    try:
        who = system.login()
    except SourceError as error:
        yield Diagnosis(f"log in to {base}: {error.message}", False, error.hint)
        return
    yield Diagnosis(f"log in to {base} {who}", True)
    first, count = None, 0
    try:
        for project in system.projects():
            if isinstance(project, Skipped):
                yield Diagnosis(f"{project.uri}: {project.reason}", False, project.hint)
                continue
            first, count = first or project, count + 1
            if count == _SHOWN:
                break
    except SourceError as error:
        yield Diagnosis(f"list the projects: {error.message}", False, error.hint)
        return
    named = f" of {', '.join(wanted[:5])}" if wanted else ""
    many = f"{count} or more" if count == _SHOWN else str(count)
    hint = "is `projects` spelt as the system spells it, and may the token list them?"
    yield Diagnosis(f"see {many} projects{named}", count > 0, "" if count else hint)
    if first is None:
        return
    try:
        run = next((one for one in system.runs(first, None) if not isinstance(one, Skipped)), None)
        yield Diagnosis(f"list the runs of {first.name}", True)
    except SourceError as error:
        yield Diagnosis(f"list the runs of {first.name}: {error.message}", False, error.hint)
        return
    if run is not None and run.finished is not None:
        try:
            pieces = [one for one in system.pieces(first, run) if not isinstance(one, Skipped)]
            logs = [one for one in pieces if one.name.startswith("job/")]
            for piece in logs[:1]:
                piece.read()
            yield Diagnosis(f"read the latest run of {first.name}: {len(logs)} logs", True)
        except SourceError as error:
            yield Diagnosis(f"read the latest run of {first.name}: {error.message}", False, error.hint)
    yield from system.diagnose(first)
