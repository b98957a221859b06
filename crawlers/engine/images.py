"""The layers of an image in an engine: read from what ``save`` sends, each once, in the order it comes."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final, cast

from unsprawl.crawlers.engine.client import Engine
from unsprawl.crawlers.ranges import ResumingFile
from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.oci.images import short
from unsprawl.oci.saved import SavedImages, SavedLayer, hidden_in, saved_tar
from unsprawl.oci.stacks import content_key
from unsprawl.oci.tars import Content, Entry, Owned, entries
from unsprawl.records import Document, Json, Seen, Skipped, Stream
from unsprawl.structs import replace

__all__ = ["Layers", "Plan"]

#: Where a layer is named by the digest of its content: it need not be looked up.
_BY_CONTENT: Final = re.compile(r"(?:blobs/(sha256|sha512)/([0-9a-f]{64,128})|([0-9a-f]{64})\.tar)")
_BY_CHAIN: Final = re.compile(r"[0-9a-f]{64}/layer\.tar")
_PASSES: Final = 3
_MOST_HOLDERS: Final = 32
_KEPT: Final = 16
_SKIPPED_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read of an image.

    ``wanted`` are diff_ids, ``known`` all of the image; ``holders`` tells, for each wanted one, the images
    that hold it, ``names`` what those are called.
    """

    image: str
    title: str
    wanted: Sequence[str]
    known: Sequence[str]
    holders: Mapping[str, Sequence[str]]
    names: Mapping[str, Sequence[str]]
    attrs: Mapping[str, Json] = field(default_factory=dict)
    largest: int | None = None


class Layers:
    """Reads layers of one engine, and remembers what it learned of how that saves."""

    def __init__(self, engine: Engine, top: str) -> None:
        self._engine = engine
        self._top = top
        self._listed_last = False
        """Layers have names that only the list at the end of the archive explains."""
        self._saved: dict[str, SavedImages] = {}

    def read(self, plan: Plan, seen: Seen) -> Iterator[Document | Skipped]:
        """The wanted layers, all where none are known. Raises ``RetryableError`` when it stays broken."""
        if not plan.known:
            # Nothing is said of its layers: it is for another platform. The list in the archive knows them.
            self._listed_last = True
            yield from self._pass(plan, {}, seen)
            return
        missing = dict.fromkeys(plan.wanted)
        passes = 0
        while missing and passes < _PASSES:
            before = len(missing)
            try:
                again = yield from self._pass(plan, missing, seen)
            except RetryableError:
                passes = passes + 1 if len(missing) == before else 0
                if passes >= _PASSES:
                    raise
                continue
            if not again:
                break
        for identity in missing:
            yield Skipped(
                self._uri(identity),
                f"the engine did not send this layer of {plan.title}",
                "does docker save work there? Pull the image again",
            )

    def open(self, image: str, identity: str, position: int = 0) -> BinaryIO:
        """One layer from ``position`` on, by a request of its own."""
        file = self._engine.save(image)
        try:
            for entry, content in self._walk(file):
                if entry.is_file and self._identity(entry, image) == identity:
                    while position and (data := content.read(min(position, _SKIPPED_AT_ONCE))):
                        position -= len(data)
                    return cast("BinaryIO", Owned(content, file))
        except BaseException:
            file.close()
            raise
        file.close()
        raise UnreadableError("the layer is no longer in the image")

    def _pass(
        self, plan: Plan, missing: dict[str, None], seen: Seen
    ) -> Generator[Document | Skipped, None, bool]:
        """One archive from start to end; what came is taken out of ``missing``. True: go again."""
        if self._listed_last:
            self._listed(plan.image)
        with self._engine.save(plan.image) as file:
            for entry, content in self._walk(file):
                if not entry.is_file:
                    continue
                identity = self._identity(entry, plan.image)
                if identity not in plan.known and self._needs_list(entry, content):
                    self._listed_last = True
                    return True
                extra = self._listed_last and bool(identity) and identity not in plan.known
                if identity not in missing and (not extra or seen(content_key(identity)) == identity):
                    continue
                yield self._document(plan, identity, entry, content)
                missing.pop(identity, None)
                if not missing and not self._listed_last:
                    break
        return False

    def _walk(self, file: BinaryIO) -> Iterator[tuple[Entry, Content]]:
        try:
            yield from entries(file)
        except OSError:
            raise RetryableError("the engine broke off", hint="its own log says why") from None
        except UnreadableError as error:
            raise RetryableError(f"what the engine sends: {error.message}") from None

    def _identity(self, entry: Entry, image: str) -> str:
        """The diff_id of what may be a layer, "" for what is none."""
        if self._listed_last:
            layer = self._listed(image).get(entry.name)
            return layer.identity if layer else ""
        match = _BY_CONTENT.fullmatch(entry.name)
        if match is None:
            return ""
        return f"{match[1]}:{match[2]}" if match[1] else f"sha256:{match[3]}"

    def _needs_list(self, entry: Entry, content: Content) -> bool:
        """Whether this is a layer under a name that says nothing."""
        if self._listed_last or not entry.size:
            return False
        if _BY_CHAIN.fullmatch(entry.name):
            return True
        named = _BY_CONTENT.fullmatch(entry.name)
        return named is not None and content.read(1) not in (b"{", b"[")

    def _listed(self, image: str) -> Mapping[str, SavedLayer]:
        """The layers by their names in the archive, which takes one pass over it."""
        try:
            return self._of(image).layers()
        except OSError:
            raise RetryableError("the engine broke off", hint="its own log says why") from None

    def _of(self, image: str) -> SavedImages:
        saved = self._saved.get(image)
        if saved is None:
            while len(self._saved) >= _KEPT:
                del self._saved[next(iter(self._saved))]
            saved = self._saved[image] = saved_tar(partial(self._whole, image))
        return saved

    def _whole(self, image: str) -> BinaryIO:
        return self._engine.save(image)

    # --- documents -------------------------------------------------------------------------------

    def about(self, plan: Plan, identity: str) -> Document:
        """A layer without its content: what it is called and where it is."""
        holders = plan.holders.get(identity, (plan.image,))
        names = sorted({name for image in holders for name in plan.names.get(image, ())})
        attrs: dict[str, Json] = {**plan.attrs, "layer": identity, "diff_id": identity}
        if names:
            attrs |= {"images": names[:100], "image_count": len(names)}
        return Document(
            uri=self._uri(identity),
            path=f"{plan.title} {short(identity)}",
            body=b"",
            # The same content in a registry is the same document.
            key=content_key(identity),
            version=identity,
            attrs=attrs,
        )

    def _document(self, plan: Plan, identity: str, entry: Entry, content: Content) -> Document | Skipped:
        uri = self._uri(identity)
        if plan.largest is not None and entry.size > plan.largest:
            reason = f"a layer of {entry.size} bytes, left out by `max_layer_bytes`"
            return Skipped(uri, reason, excluded=True)
        holders = plan.holders.get(identity, (plan.image,))
        first = [content]

        def connect(position: int) -> BinaryIO:
            return self.open(plan.image, identity, position)

        def opened(offset: int) -> BinaryIO:
            # What is arriving now can be read once, and only until the archive goes on behind it.
            begun = first.pop() if first else None
            usable = begun is not None and not offset and begun.left == entry.size and not begun.closed
            live = begun if usable else None
            return cast("BinaryIO", ResumingFile(connect, offset, entry.size, dropped=(OSError,), first=live))

        return replace(
            self.about(plan, identity),
            body=Stream(opened, entry.size),
            member_attrs=partial(self._member_attrs, identity, tuple(holders[:_MOST_HOLDERS])),
        )

    def _member_attrs(self, identity: str, holders: Sequence[str], member: str) -> Mapping[str, Json]:
        """The command that made the layer, and which later one hides the file, in all images that hold it."""
        stacks: list[dict[str, Any]] = []
        known: dict[str, Json] = {}
        for image in holders:
            try:
                saved = self._of(image)
                layer = next((one for one in self._listed(image).values() if one.identity == identity), None)
                if layer is not None and layer.history.instruction:
                    known.setdefault("instruction", layer.history.instruction)
                stacks += saved.stacks(identity)
            except OSError:
                raise RetryableError("the engine broke off", hint="its own log says why") from None
        return {**known, **hidden_in(stacks, member)}

    def _uri(self, identity: str) -> str:
        return f"{self._top}/layers/{identity}"
