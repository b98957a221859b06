"""A value that its surroundings give away belongs to the provider named there, if it looks like theirs."""

from __future__ import annotations

import pytest

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document


@pytest.fixture(scope="module")
def detector() -> ContentDetector:
    return build()


@pytest.mark.parametrize(
    ("template", "rule"),
    [
        (
            (
                "curl https://api.docparser.com/v1/documents/fetch/list?limit=20 \\\n"
                "  -H 'Accept: application/json' \\\n  -H 'Authorization: Bearer <hex:40>'\n"
            ),
            "docparser.api-key",
        ),
        (
            (
                "curl https://api.docparser.com/v1/documents/fetch/list?limit=20 \\\n"
                "  -H 'Accept: application/json' \\\n  -H 'Authorization: Bearer <hex:44>'\n"
            ),
            "http.bearer-token",
        ),
        (
            "# everhour, then some words on docparser and what it does for us here\napi_key = '<hex:40>'\n",
            "docparser.api-key",
        ),
        ("# the parser of documents, as described in the handbook\napi_key = '<hex:40>'\n", "generic.secret"),
    ],
)
def test_whose_it_is(detector: ContentDetector, template: str, rule: str) -> None:
    body = fill(template, "attribution").encode()
    found = [one for one in detector.scan(Document(uri="x", body=body)) if isinstance(one, Candidate)]
    assert [one.rule for one in found] == [rule]
