"""A program that has candidates judged by another process: ``SCENARIO``, told as JSON.

A process with threads is not forked, and one that runs tests has some, so this runs by itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from forks import counted, fork, made, no_room

from unsprawl.detectors.detector import build
from unsprawl.models import judge
from unsprawl.models.choice import chosen
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Classifier, Document


def pairs() -> list[tuple[Document, Candidate]]:
    detector = build(doubts=True)
    lines = [
        "db password: <password>",
        "token = <github-token:ghp_>",
        "api_key = '<alnum:32>'",
        "key: example",
    ]
    body = "\n".join(fill(line, str(number)) for number in range(12) for line in lines).encode()
    document = Document(uri="file:///app/settings.py", body=body, path="app/settings.py")
    return [(document, found) for found in detector.scan(document) if isinstance(found, Candidate)]


def kinds() -> dict[str, str]:
    return {rule.id: rule.kind for rule in build().rules.rules}


def verdicts(classifier: Classifier) -> list[Any]:
    return [[one.confidence, one.label, one.environment] for one in classifier.score(PAIRS)]


def loaded() -> bool:
    """Whether this process judged anything by itself."""
    return "onnxruntime" in sys.modules


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def asked(classifier: Classifier) -> dict[str, Any]:
    return {"verdicts": verdicts(classifier), "loaded": loaded()}


def twice(classifier: Classifier) -> dict[str, Any]:
    return {"verdicts": verdicts(classifier), "again": verdicts(classifier), "loaded": loaded()}


def killed(classifier: Classifier) -> dict[str, Any]:
    first = verdicts(classifier)
    os.kill(made[0], signal.SIGKILL)
    return {"verdicts": first, "again": verdicts(classifier), "loaded": loaded()}


def stopped(classifier: Classifier) -> dict[str, Any]:
    """It answers no more, and nobody waits for ever."""
    first = verdicts(classifier)
    judge._PATIENCE = 0.2  # type: ignore[misc]
    os.kill(made[0], signal.SIGSTOP)
    return {"verdicts": first, "again": verdicts(classifier), "loaded": loaded()}


def forked(classifier: Classifier) -> dict[str, Any]:
    """Three workers ask at once; a fourth dies with its question half asked."""
    verdicts(classifier)
    ends = []
    for number in range(4):
        out, into = os.pipe()
        if not fork():
            if number == 3:
                line = classifier._line()  # type: ignore[attr-defined]
                os.write(line.fileno(), b"\0\0\1\0half of a question")
                os._exit(0)
            os.write(into, json.dumps(asked(classifier)).encode())
            os._exit(0)
        os.close(into)
        ends.append(os.fdopen(out))
    told = [end.read() for end in ends]
    return {"workers": [json.loads(one) for one in told[:3]], **asked(classifier)}


def threads(classifier: Classifier) -> dict[str, Any]:
    found: list[Any] = [None] * 4

    def ask(number: int) -> None:
        found[number] = verdicts(classifier)

    running = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {"verdicts": found[0], "same": found == [found[0]] * 4, "loaded": loaded()}


def refused(classifier: Classifier) -> dict[str, Any]:
    """What no classifier can judge fails here, as it would without a judge."""
    broken = Candidate(rule=None, secret=None, start=0, end=1, line=1, column=1, line_end=1)  # type: ignore[arg-type]
    try:
        classifier.score([(PAIRS[0][0], broken)])
    except Exception as error:  # noqa: BLE001
        return {"error": type(error).__name__, **asked(classifier)}
    return {"error": None}


def orphaned(classifier: Classifier) -> dict[str, Any]:
    """Its askers are gone at once: their judge goes too."""
    verdicts(classifier)
    sys.stdout.write(json.dumps({"judge": made[0]}))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


SCENARIOS: dict[str, Callable[[Classifier], dict[str, Any]]] = {
    one.__name__: one for one in (asked, twice, killed, stopped, forked, threads, refused, orphaned)
}
PAIRS: Sequence[tuple[Document, Candidate]] = pairs()


def main(scenario: str) -> dict[str, Any]:
    os.fork = counted
    if scenario == "alone":
        return asked(judge.shared(chosen(kinds()), kinds()))
    if scenario in ("beside", "crowded"):
        if scenario == "beside":
            threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        else:
            os.fork = no_room
        with judge.judging():
            return {"made": len(made), **asked(judge.shared(chosen(kinds()), kinds()))}
    with judge.judging():
        classifier = judge.shared(chosen(kinds()), kinds())
        told = SCENARIOS[scenario](classifier)
    return {**told, "left": alive(made[0]), "after": verdicts(classifier)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)
