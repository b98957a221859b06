"""A site that answers what a test puts into it, by path."""

from __future__ import annotations

from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data


class PlainSite(LoopbackServer):
    """``answers`` are values for JSON, or whole answers, by the decoded path."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, object] = {}

    def answer(self, request: Request) -> Answer:
        found = self.answers.get(request.path)
        if isinstance(found, Answer):
            return found
        return data({"message": "no such thing"}, 404) if found is None else data(found)
