"""An hour of fuzzing (``FUZZ_SECONDS`` for less): no crash, no hang, no place outside the content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import seeds


@pytest.mark.soak
def test_content_handling_survives_fuzzing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no build for this platform")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, body in enumerate(seeds()):
        (corpus / f"{number}").write_bytes(bytes([number % 8]) + body)
    seconds = int(os.environ.get("FUZZ_SECONDS", "3600"))
    run = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).parent / "fuzz_content.py"), str(corpus)),
            *(f"-max_total_time={seconds}", "-max_len=16384", "-timeout=30", "-rss_limit_mb=2048"),
            f"-artifact_prefix={tmp_path}/",
        ],
        capture_output=True,
        text=True,
        timeout=seconds + 300,
        check=False,
    )
    lines = [line for line in run.stderr.splitlines() if not line.startswith("#")]
    assert run.returncode == 0, "\n".join(lines[-60:])
