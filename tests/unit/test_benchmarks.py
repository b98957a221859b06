"""The benchmarks measure what they say: planted secrets are where they should be, no process is forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(code: str, cache: Path) -> Any:
    """What ``code`` prints as JSON, run where ``benchmarks`` can be imported."""
    environment = {**os.environ, "UNSPRAWL_BENCH_CACHE": str(cache)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


BUILD = """
import json
from benchmarks.corpora import build
corpora = {name: build(name, 0.002) for name in ("logs", "chat", "small")}
listed = {n: [[p.path, p.line, p.kind] for p in c.places] for n, c in corpora.items()}
print(json.dumps({n: [str(c.path), c.files, listed[n]] for n, c in corpora.items()}))
"""


def test_planted_secrets_stand_where_the_list_says(tmp_path: Path) -> None:
    built = run(BUILD, tmp_path)
    assert built["logs"][1] == 71
    assert built["small"][1] == 120
    for path, _, places in built.values():
        assert places
        for name, line, kind in places:
            text = Path(path, name).read_text("utf-8").splitlines()[line - 1]
            assert "token: " in text, kind
    everything = "".join(file.read_text("utf-8") for file in tmp_path.rglob("*.log"))
    assert everything.count("deploy: using token: ") == len(built["logs"][2])


def test_a_corpus_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (run(BUILD, tmp_path / name) for name in ("first", "second"))
    assert [entry[1:] for entry in first.values()] == [entry[1:] for entry in second.values()]
    files = [p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*") if p.is_file()]
    assert all((tmp_path / "first" / p).read_bytes() == (tmp_path / "second" / p).read_bytes() for p in files)


MEASURE = """
import json, os, sys
from benchmarks.measure import measure
burn = "import time\\nend = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
grow = "import time; held = bytearray(80_000_000); time.sleep(0.2)"
child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}]); sys.exit(7)"
left = measure([sys.executable, "-c", orphan], os.environ)
big = measure([sys.executable, "-c", child], os.environ, memory=True)
print(json.dumps({"cpu": left.cpu_s, "wall": left.wall_s, "peak": big.peak_bytes, "code": big.code}))
"""


def test_the_time_of_orphans_and_the_memory_of_children_count(tmp_path: Path) -> None:
    seen = run(MEASURE, tmp_path)
    assert seen["cpu"] >= 0.3
    assert 80_000_000 < seen["peak"] < 160_000_000
    assert seen["code"] == 7
