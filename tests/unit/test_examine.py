"""What leaves the examiner about values that stand beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.rules import load
from unsprawl.examine import Examiner, Looked
from unsprawl.models.baseline import BaselineClassifier
from unsprawl.models.serving import ContextClassifier
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document, Occurrence, Verdict
from unsprawl.redaction import Redactor
from unsprawl.secret import Keys
from unsprawl.structs import replace


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    rules = load()
    detector = ContentDetector(rules)
    return Examiner(
        detector=detector,
        classifier=BaselineClassifier(),
        rules=rules.by_id,
        keys=Keys.derive(b"k" * 32),
        redactor=Redactor(detector.find_spans),
        min_confidence=0.0,
    )


def examined(examiner: Examiner, text: str, uri: str = "test://x") -> tuple[Occurrence, ...]:
    examined = examiner.examine("test", "test", Document(uri=uri, body=text.encode()))
    assert not examined.gaps
    return examined.occurrences


def test_the_end_of_a_long_key_is_masked_in_the_context_behind_it(examiner: Examiner) -> None:
    key, token = fill("<pem:rsa>", "long"), fill("<github-token:ghp_>", "behind")
    found = examined(examiner, json.dumps({"key": key, " " * 140: token}))
    assert len(found) == 2
    lines = [line for line in key.splitlines() if not line.startswith("-----")]
    context = next(each.context for each in found if each.rule.startswith("github."))
    assert not any(line[at : at + 8] in context for line in lines for at in range(len(line) - 7))


def test_neighbours_are_masked_across_the_groups_of_the_classifier(examiner: Examiner) -> None:
    passwords = [fill("<password>", str(number)) for number in range(600)]
    # Far more than is shown stands between the key and its value's other copies.
    text = ",".join(f"password: '{value}', again {value}" for value in passwords)
    found = examined(examiner, text)
    assert len(found) > 512
    assert not any(value in each.context for each in found for value in passwords)


class _Fussy(BaselineClassifier):
    """Fails whenever a certain document is among those it judges."""

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> list[Verdict]:
        if any(document.uri == "test://2" for document, _ in candidates):
            raise RuntimeError
        return super().score(candidates)


def test_documents_judged_together_fail_alone(examiner: Examiner) -> None:
    fussy = replace(examiner, classifier=_Fussy())
    looked = []
    for number in range(4):
        body = fill("password: '<password>'", str(number)).encode()
        one = fussy.look("test", "test", Document(uri=f"test://{number}", body=body))
        assert isinstance(one, Looked)
        assert one.document.body == b""
        looked.append(one)
    results = fussy.conclude("test", "test", looked)
    assert [len(one.occurrences) for one in results] == [1, 1, 0, 1]
    assert [one.whole for one in results] == [True, True, False, True]
    assert results[2].gaps[0].reason == "RuntimeError while examining"


def test_a_value_is_recognised_by_words_that_are_not_shown(examiner: Examiner) -> None:
    # One password is enough for this detector, so that nothing tells of the second but its key.
    narrow = replace(examiner, detector=ContentDetector(load(), limit=1))
    value = "-".join(fill("<password>", f"torn {number}") for number in range(5))
    token = fill("<github-token:ghp_>", "near")
    text = f"password: '{fill('<password>', 'first')}' password: '{value}'" + " " * 180 + token
    found = narrow.examine("test", "test", Document(uri="test://x", body=text.encode())).occurrences
    (context,) = (each.context for each in found if each.rule.startswith("github."))
    assert not any(value[at : at + 8] in context for at in range(len(value) - 7))


def test_a_value_in_an_escaped_name_is_masked(examiner: Examiner) -> None:
    token, key = fill("<github-token:ghp_>", "name"), "wJ4rX9tUnF3M%2BK7MDnG5pbPxR2fiC9Yz8q6T1aBcD"
    for name, shown in ((f"k%3D{token}.txt", "k=ghp_….txt"), (f"{key}.txt", "….txt")):
        text = f"password = '{fill('<password>', 'inside')}'"
        (found,) = examined(examiner, text, uri=f"file:///srv/a%20b/{name}")
        assert found.uri == f"file:///srv/a%20b/{shown}"


def test_threads_share_an_examiner(examiner: Examiner) -> None:
    shared = replace(examiner, classifier=ContextClassifier(), detector=ContentDetector(load(), doubts=True))
    texts = [
        "\n".join(f"{word}_password = {fill('<base62:20>', f'{number} {word}')}" for word in ("db", "smtp"))
        + f"\n{fill('<github-token:ghp_>', str(number))}\nurl: https%3A%2F%2Fa:{number}x9Kq%40host/\n" * 3
        for number in range(40)
    ]
    alone = [examined(shared, text) for text in texts]
    assert all(len(found) >= 5 for found in alone)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(partial(examined, shared), texts)) == alone
