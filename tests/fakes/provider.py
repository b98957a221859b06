"""A provider of credentials that answers as a rule's ``check`` documents it, or badly.

Which rule and which scenario stands in the path: ``/RULE/SCENARIO`` before the path of the request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from unsprawl.detectors.rules import Rule
from unsprawl.estate.loopback import Answer, LoopbackServer, Request

#: Longer than the patience of whoever tests.
LATE = 0.5


class Provider(LoopbackServer):
    """``elsewhere`` is where redirects lead: a server that nobody should ever ask."""

    def __init__(self, rules: Mapping[str, Rule], elsewhere: str) -> None:
        super().__init__()
        self._rules = rules
        self._elsewhere = elsewhere

    def fault(self, line: str) -> Any:
        if line.split("/")[2] == "late":
            time.sleep(LATE)
        return super().fault(line)

    def answer(self, request: Request) -> Answer:
        _, rule, scenario, *_ = request.path.split("/")
        check = self._rules[rule].check or {}
        good = example(check["active"])
        if scenario in ("active", "limited", "inactive"):
            return example(check[scenario])
        if scenario == "late":
            return good
        if scenario.isdigit():
            return Answer(int(scenario), good.body, good.headers)
        if scenario == "moved":
            return Answer(302, b"", {"location": f"{self._elsewhere}{request.raw}"})
        status = 200
        if scenario.startswith("refused-"):
            status, scenario = 401, scenario.removeprefix("refused-")
        if scenario == "html":
            page = b"<!DOCTYPE html><html><body>%s</body></html>" % good.body
            return Answer(status, page, {"content-type": "text/html; charset=utf-8"})
        if scenario == "broken":
            return Answer(status, b'{"ok": tru', {"content-type": "application/json"})
        if scenario == "packed":
            return Answer(status, good.body, {**good.headers, "content-encoding": "gzip"})
        if scenario == "error":
            return Answer(
                200, b'{"error": "no such thing", "ok": false}', {"content-type": "application/json"}
            )
        raise AssertionError(scenario)


def example(matcher: Mapping[str, Any]) -> Answer:
    """The least answer that fits ``matcher``, as its provider documents it."""
    status = matcher.get("status", [200])[0]
    value: dict[str, Any] = {}
    for path, wanted in matcher.get("json", {}).items():
        _put(value, path.split("."), wanted[0] if isinstance(wanted, list) else wanted)
    text = matcher.get("contains", [""])[0]
    if text and text not in json.dumps(value):
        if value:
            value["message"] = text
        else:
            return Answer(status, text.encode(), {"content-type": "text/plain"})
    body = b"" if status == 204 else json.dumps(value or {"id": 7}).encode()
    return Answer(status, body, {"content-type": "application/json"})


def _put(value: dict[str, Any], steps: list[str], wanted: Any) -> None:
    step, *rest = steps
    if not rest:
        value[step] = wanted
    elif rest[0].isdigit():
        inner: dict[str, Any] = {}
        if rest[1:]:
            _put(inner, rest[1:], wanted)
        value[step] = [inner if rest[1:] else wanted]
    else:
        _put(value.setdefault(step, {}), rest, wanted)
