"""Reading one conversation: everything once, afterwards what is new, edited, answered or gone.

The history is walked from its newest message back. The first walk goes to the beginning; later ones to the
midnight before the look-back window, further where that is cheaper than asking for each thread that is still
alive behind it. A cursor holds how far a walk came, and which documents and threads the window held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from unsprawl.crawlers.slack.history import messages_of, pages, read_thread
from unsprawl.crawlers.slack.messages import Conversation, Message, Runs, document
from unsprawl.crawlers.slack.session import PAGE, Session
from unsprawl.crawlers.slack.times import DAY, SECOND, micros, midnight, stamp
from unsprawl.records import Audience, Checkpoint, Cursor, Document, Event, Seen, Skipped, Unchanged

__all__ = ["Window", "read_conversation"]

#: Documents of the window whose disappearance is noticed.
_MOST_KNOWN: Final = 5000
_MOST_THREADS: Final = 5000
#: Where somebody always speaks no page ends between two runs: whoever goes on reads a page again. So such a
#: checkpoint comes behind this many pages only.
_DEAR_PAGES: Final = 12
_OWN_APP: Final = "make an internal app of your own: it gets fifty requests a minute (docs/sources/slack.md)"
_PLAN: Final = "an export of the workspace may hold them"


@dataclass(frozen=True, slots=True)
class Window:
    """How far back later runs look, in microseconds: for edits, for new replies, for edits of replies."""

    edits: int
    threads: int
    replies: int = 0
    oldest: int = 0


@dataclass(slots=True)
class _Walk:
    """The place in a walk, as the cursor holds it.

    ``high`` is the newest message the walk began with, ``before`` where it goes on, ``low`` where it ends.
    ``known`` and ``threads`` come from the walk before, ``found`` and ``roots`` are made by this one; a
    thread is (its time, its latest reply, messages between it and the newer one).
    """

    high: int
    low: int
    page: int | None
    before: int | None
    known: list[int]
    threads: list[list[int]]
    found: list[int] = field(default_factory=list)
    roots: list[list[int]] = field(default_factory=list)
    between: int = 0
    due: bool = False
    """Whether what stands around the messages is to be asked for again."""
    keep: int = 0
    """The oldest document that the next walk has to know."""
    reached: int | None = None
    """The oldest message that the walk saw, where older ones exist."""

    @property
    def mark(self) -> tuple[int, int, int]:
        """How much was found so far."""
        return len(self.found), len(self.roots), self.between

    def cursor(self, page: int, before: int, mark: tuple[int, int, int]) -> Cursor:
        """The cursor that goes on at ``before``, where ``mark`` was all that had been found.

        ``page`` is where the page begins that holds it, so that the pages stay the same.
        """
        found, roots, between = mark
        return {
            "high": self.high, "low": self.low, "page": page, "before": before, "known": self.known,
            "threads": self.threads, "found": self.found[:found], "roots": [list(root) for root in
            self.roots[:roots]], "between": between, "due": self.due,
        }  # fmt: skip


def read_conversation(
    session: Session,
    place: Conversation,
    names: Mapping[str, str],
    window: Window,
    since: Cursor | None,
    seen: Seen,
    files: Callable[[Message], Iterator[Event]],
    around: Callable[[int | None], Iterator[Event]],
    clock: Callable[[], float] = time.time,
) -> Iterator[Event]:
    """The documents of a conversation, with a checkpoint behind each page.

    ``files`` reads what only a message tells of. ``around`` reads what stands around the messages, in the
    first run and when something new was written; it is told the oldest message, where older ones cannot be
    read.
    """
    now = int(clock() * SECOND)
    walk = _begin(since, window, now)
    polled = [] if walk.before is not None else _plan(walk, window, now)
    yield from _history(session, place, names, window, walk, polled, seen, files, now)
    yield from _poll(session, place, names, polled, seen)
    yield from _vanished(place, walk)
    refused = False
    for event in around(walk.reached) if walk.due else ():
        refused |= isinstance(event, Skipped)
        yield event
    walk.due = refused
    yield Checkpoint(_ended(walk, window, now))


def _begin(since: Cursor | None, window: Window, now: int) -> _Walk:
    cursor = since or {}
    if "before" in cursor:
        return _Walk(
            cursor["high"], cursor["low"], cursor["page"], cursor["before"], list(cursor["known"]),
            [list(thread) for thread in cursor["threads"]], list(cursor["found"]),
            [list(root) for root in cursor["roots"]], cursor["between"], cursor["due"],
        )  # fmt: skip
    high = cursor.get("high", 0)
    low = midnight(min(high, now - window.edits)) if high else 0
    threads = [list(thread) for thread in cursor.get("threads", ())]
    known = list(cursor.get("known", ()))
    return _Walk(high, max(low, window.oldest), None, None, known, threads, due=cursor.get("due", not cursor))


def _plan(walk: _Walk, window: Window, now: int) -> list[list[int]]:
    """Choose how to look after the living threads behind the window: walk on to one, or ask for each.

    A walk costs a request for a thousand messages, a thread one of its own. ``walk.low`` is moved to the
    oldest thread that the walk shall reach; those beyond are returned.
    """
    alive = sorted(
        (t for t in walk.threads if t[0] < walk.low and t[1] >= now - window.threads), reverse=True
    )
    alive = [thread for thread in alive if thread[0] >= window.oldest]
    best, cheapest, between = 0, len(alive), 0
    for count, thread in enumerate(alive, 1):
        between += thread[2]
        cost = -(-between // PAGE) + len(alive) - count
        if cost < cheapest:
            best, cheapest = count, cost
    if best:
        walk.low = max(midnight(alive[best - 1][0]), window.oldest)
    return alive[best:]


def _history(
    session: Session,
    place: Conversation,
    names: Mapping[str, str],
    window: Window,
    walk: _Walk,
    polled: list[list[int]],
    seen: Seen,
    files: Callable[[Message], Iterator[Event]],
    now: int,
) -> Iterator[Event]:
    runs = Runs()
    answered: set[str] = set()
    fresh = walk.before is None
    end = now + DAY if walk.before is None else walk.before
    begins = end if walk.page is None else walk.page
    mark, marked, unmarked = walk.mark, begins, 0
    walk.keep = _keep(walk, window, now)
    for page in pages(session, place, walk.low, begins):
        messages = messages_of(page.messages, names)
        if fresh and messages:
            walk.due |= messages[0].at > walk.high
            walk.high, fresh = max(walk.high, messages[0].at), False
            begins = walk.high + 1
            walk.keep = _keep(walk, window, now)
        for message in messages:
            if not walk.low <= message.at < end:
                continue  # some servers ignore the bounds
            end = message.at
            yield from files(message)
            if message.broadcast:
                # Its thread lies behind the window, else the walk comes to it.
                if message.root not in answered and (micros(message.root) or 0) < walk.low:
                    answered.add(message.root)
                    yield from read_thread(session, place, names, message.root, seen)
                continue
            if message.thread:
                walk.between += 1
                yield from _thread(session, place, names, window, walk, message, seen, now)
                continue
            for run in runs.older_than(end):
                yield from _deliver(place, run, walk, seen)
            if runs.edge is None:
                mark, marked = walk.mark, begins
            walk.between += 1
            if not message.noise:
                for run in runs.add(message):
                    yield from _deliver(place, run, walk, seen)
        if page.more:
            for run in runs.older_than(end):
                yield from _deliver(place, run, walk, seen)
            if page.note:
                yield Skipped(f"{place.uri}?pace", page.note, _OWN_APP, excluded=True)
            unmarked += 1
            if runs.edge is None:
                unmarked = 0
                yield Checkpoint(walk.cursor(page.next, end, walk.mark))
            elif unmarked >= _DEAR_PAGES:
                unmarked = 0
                yield Checkpoint(walk.cursor(marked, runs.edge + 1, mark))
        elif page.limited or window.oldest:
            walk.reached = end
        begins = page.next
        if page.limited and not page.more:
            yield Skipped(
                f"{place.uri}?older", "older messages are hidden by the plan of the workspace", _PLAN
            )
    for run in runs.rest():
        yield from _deliver(place, run, walk, seen)
    polled[:] = [thread for thread in polled if stamp(thread[0]) not in answered]


def _keep(walk: _Walk, window: Window, now: int) -> int:
    """A first walk remembers its window, a later one all it passes: what it misses there has vanished."""
    return walk.low if walk.known else midnight(min(walk.high, now - window.edits))


# --- documents -----------------------------------------------------------------------------------


def _deliver(place: Conversation, run: list[Message], walk: _Walk, seen: Seen) -> Iterator[Event]:
    made = document(place, run)
    if made is None:
        return
    if run[0].at >= walk.keep:
        walk.found.append(run[0].at)
    yield Unchanged() if seen(made.key) == made.version else made


def _thread(
    session: Session,
    place: Conversation,
    names: Mapping[str, str],
    window: Window,
    walk: _Walk,
    first: Message,
    seen: Seen,
    now: int,
) -> Iterator[Event]:
    latest = micros(first.latest) or first.at
    if first.at >= walk.keep:
        walk.found.append(first.at)
    if latest >= now - window.threads:
        walk.roots.append([first.at, latest, walk.between])
        walk.between = 0
    known = seen(place.message_uri(first.ts)) or ""
    if known.startswith(f"{first.signature}/") and latest < now - window.replies:
        yield Unchanged()
        return
    yield from read_thread(session, place, names, first.ts, seen, first)


# --- the end of a walk ---------------------------------------------------------------------------


def _poll(
    session: Session,
    place: Conversation,
    names: Mapping[str, str],
    polled: list[list[int]],
    seen: Seen,
) -> Iterator[Event]:
    """The living threads that lie too far behind the window to be walked to."""
    for thread in polled:
        for event in read_thread(session, place, names, stamp(thread[0]), seen):
            if isinstance(event, Document) and event.parts:
                thread[1] = max(
                    thread[1], micros(event.parts[-1].uri.rpartition("/")[2].partition("?")[0]) or 0
                )
            yield event


def _vanished(place: Conversation, walk: _Walk) -> Iterator[Event]:
    """Documents that the window held and holds no more: what was in them is gone."""
    found = set(walk.found)
    for at in walk.known:
        if at >= walk.low and at not in found:
            uri = place.message_uri(stamp(at))
            yield Document(
                uri=uri,
                body=b"",
                path=f"{place.title}/{stamp(at)}",
                media_type="text/plain",
                audience=Audience.UNKNOWN,
                attrs={"state": "deleted"},
            )


def _ended(walk: _Walk, window: Window, now: int) -> Cursor:
    """The cursor from which the next run begins."""
    edge = midnight(min(walk.high, now - window.edits))
    found = set(walk.found)
    kept = [at for at in walk.known if at < walk.low]
    known = sorted({at for at in [*found, *kept] if at >= edge}, reverse=True)[:_MOST_KNOWN]
    older = [thread for thread in walk.threads if thread[0] < walk.low]
    if older:
        older[0][2] += walk.between
    threads: list[list[int]] = []
    carried = 0
    for at, latest, between in [*walk.roots, *older]:
        if latest >= now - window.threads:
            threads.append([at, latest, between + carried])
            carried = 0
        else:
            carried += between
    return {"high": walk.high, "known": known, "threads": threads[:_MOST_THREADS], "due": walk.due}
