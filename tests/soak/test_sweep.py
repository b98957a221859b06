"""A sweep over the demo organisation and a large tree (SWEEP_GIGABYTES): soon, in disguise, for many."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from unsprawl.estate.organisation import Organisation, start
from unsprawl.estate.planted import PLANTED
from unsprawl.placeholders import fill

pytestmark = pytest.mark.soak

GIGABYTES = float(os.environ.get("SWEEP_GIGABYTES", "2"))
#: Seconds from the start of the command to the first line that tells a hit.
SOON = 5.0
#: How much more processor time a thousand values may cost than one.
MANY = 1.2
TOKEN = PLANTED[0].value


def write_tree(root: Path) -> None:
    """Text files of all sizes, drawn from a seed; in the last folder stand disguises of the token."""
    drawn = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(drawn.choices(letters, k=drawn.randint(2, 11))) for _ in range(4000)]
    blocks = [(" ".join(drawn.choices(words, k=150_000)) + "\n").encode() for _ in range(8)]
    written = number = 0
    while written < GIGABYTES * 1e9:
        kind = drawn.random()
        size = drawn.randint(1_000, 40_000) if kind < 0.8 else drawn.randint(40_000, 900_000)
        size = 30_000_000 if kind > 0.985 else size
        folder = root / f"d{number % 40:02}" / f"e{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"f{number}.log").open("wb") as file:
            for _ in range(-(-size // 900_000)):
                file.write(drawn.choice(blocks)[: min(size, 900_000)])
        written += size
        number += 1
    last = root / "z"
    last.mkdir()
    (last / "a.yaml").write_text(f"d: {base64.b64encode(f'p={TOKEN}!'.encode()).decode()}\n", "utf-8")
    (last / "b.txt").write_text(f"GET /login?p={quote(TOKEN, safe='')}&x=1\n".replace("_", "%5F"), "utf-8")
    (last / "c.html").write_text(f"<p>{TOKEN[:9]}<strong>{TOKEN[9:]}</strong></p>\n", "utf-8")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    folder = tmp_path_factory.mktemp("acme")
    with start(folder, real_registry=False) as acme:
        write_tree(folder / "tree")
        chosen = yaml.safe_load(acme.config.read_text("utf-8"))
        chosen["sources"] = {"tree": {"type": "files", "paths": ["tree"]}, **chosen["sources"]}
        (folder / "sweep.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False), "utf-8")
        # The rules are compiled once a machine, not once a sweep.
        subprocess.run(
            [sys.executable, "-m", "unsprawl", "scan", "-", "--quiet"],
            env=acme.environment(), input=b"", check=True,
        )  # fmt: skip
        yield acme
    shutil.rmtree(folder / "tree")


def sweep(acme: Organisation, values: list[str]) -> tuple[float, float, list[dict[str, str]]]:
    """Seconds to the first hit, seconds of processor time, and the places."""
    (acme.directory / "values.txt").write_text("\n".join(values) + "\n", "utf-8")
    command = ["sweep", "sweep.yaml", "--values", "values.txt", "--output", "found.json"]
    begun, first = time.monotonic(), 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "unsprawl", *command],
        cwd=acme.directory, env=acme.environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if line.startswith("hit ") and not first:
            first = time.monotonic() - begun
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3  # five places of the organisation refuse
    found = json.loads((acme.directory / "found.json").read_text("utf-8"))["findings"]
    return first, usage.ru_utime + usage.ru_stime, found


def test_the_first_hit_comes_soon_and_a_thousand_values_cost_little_more_than_one(acme: Organisation) -> None:
    one_first, one_cost, found = sweep(acme, [TOKEN])
    many = [TOKEN, *(fill("<alnum:32>", f"sweep {number}") for number in range(999))]
    many_first, many_cost, again = sweep(acme, many)
    told = f"first {one_first:.1f} and {many_first:.1f} s, cpu {one_cost:.1f} and {many_cost:.1f} s"
    assert {row["uri"] for row in found} == {row["uri"] for row in again}
    disguised = {Path(row["path"]).name for row in found if row["source"] == "tree"}
    assert disguised == {"a.yaml", "b.txt", "c.html"}
    assert {row["source"] for row in found} == {"tree", "laptop", "buckets", "images"}
    assert one_first < SOON, told
    assert many_cost < MANY * one_cost, told
