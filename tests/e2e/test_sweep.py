"""A sweep finds every copy of what leaked, tells what it found so far at any time, and keeps no value."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from unsprawl.cli import unsprawl
from unsprawl.estate.loopback import Answer, Fault, LoopbackServer, Request, data
from unsprawl.estate.registry_server import RegistryServer
from unsprawl.placeholders import fill
from unsprawl.store.playbook import KINDS

VALUE = fill("<alnum:12>", "sweep") + "+/x$9"
TOKEN = fill("<github-token:ghp_>", "sweep")
#: Few rules: to compile all of them takes seconds.
RULES = ["[!g]*", "g[!i]*"]


def run(*arguments: str, given: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(unsprawl, list(arguments), input=given, standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return int(done.return_value or 0), done.stdout, done.stderr


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def config(tmp_path: Path, **sources: Any) -> Path:
    import yaml

    file = tmp_path / "sweep.yaml"
    chosen = {"tree": {"type": "files", "paths": ["tree"]}, **sources}
    file.write_text(yaml.safe_dump({"sources": chosen, "exclude_rules": RULES, "jobs": 1}), "utf-8")
    return file


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def layer(content: bytes) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as tar:
        info = tarfile.TarInfo("srv/app/.env")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def plant(tree: Path) -> None:
    (tree / "a.yaml").write_text(f"d: {base64.b64encode(f'p={VALUE}!'.encode()).decode()}\n", "utf-8")
    (tree / "b.txt").write_text(f"GET /login?p={quote(VALUE, safe='')}&x=1\n", "utf-8")
    (tree / "c.html").write_text(f"<p>{VALUE[:7]}<strong>{VALUE[7:]}</strong></p>\n", "utf-8")
    (tree / "d.tar.gz").write_bytes(layer(f"K={VALUE}\n".encode()))
    (tree / "e.txt").write_text(f"password = {VALUE}\nother = {TOKEN}\n", "utf-8")
    (tree / "f.txt").write_text("nothing here\n", "utf-8")


def test_every_copy_is_found_in_every_disguise_and_nothing_is_stored(tmp_path: Path, tree: Path) -> None:
    plant(tree)
    file = config(tmp_path)
    code, out, told = run("sweep", str(file), "--values", "-", "--format", "jsonl", given=f"{VALUE}\n")
    assert code == 1
    found = {Path(row["path"].partition("!/")[0]).name: row for row in rows(out)}
    assert sorted(found) == ["a.yaml", "b.txt", "c.html", "d.tar.gz", "e.txt"]
    assert {row["rule"] for row in found.values()} == {"sweep.value"}
    assert len({row["finding"] for row in found.values()}) == 1
    assert found["a.yaml"]["views"] == ["base64"]
    assert "hit" in told
    assert VALUE not in out + told
    assert not (tmp_path / "unsprawl.db").exists()


def test_an_image_layer_is_read_through_the_registry(tmp_path: Path, tree: Path) -> None:
    from unsprawl.estate import imagery
    from unsprawl.estate.push import push

    made = imagery.layer({"srv/.env": f"K={VALUE}\n"})
    with RegistryServer() as server:
        push(server.url, "shop/web", imagery.build([imagery.Step("COPY . /srv", made)]), "1.0")
        file = config(tmp_path, images={"type": "registry", "url": server.url})
        code, out, _ = run("sweep", str(file), "--values", "-", "--format", "jsonl", given=f"{VALUE}\n")
    assert code == 1
    assert [row["source"] for row in rows(out)] == ["images"]
    assert rows(out)[0]["path"].endswith("!/srv/.env")


def test_the_report_tells_the_timeline_the_siblings_and_what_to_do(tmp_path: Path, tree: Path) -> None:
    plant(tree)
    given = tmp_path / "values.txt"
    given.write_text(f"{VALUE}\nvalue-that-is-nowhere\n", "utf-8")
    output = tmp_path / "report.json"
    code, _, _ = run("sweep", str(config(tmp_path)), "--values", str(given), "--output", str(output))
    assert code == 1
    report = json.loads(output.read_text("utf-8"))
    told = report["sweep"]
    assert (told["values"], told["found"], told["copies"], told["partial"]) == (2, 1, 5, False)
    first, second = told["of"]
    assert (first["copies"], second["copies"]) == (5, 0)
    assert first["sources"] == {"tree": 5}
    assert len(first["timeline"]) == 5
    assert first["first_written"] <= first["last_written"]
    assert [one["rule"] for one in first["siblings"]] == ["github.personal-token"]
    assert first["steps"]
    steps = first["playbook"]["steps"]
    assert [step["kind"] for step in steps] == sorted((step["kind"] for step in steps), key=list(KINDS).index)
    cleaned = {step["uri"].rpartition("/")[2] for step in steps if step["kind"] == "clean" and "uri" in step}
    assert cleaned >= {"a.yaml", "e.txt"}
    assert steps[-1]["text"].startswith("Sweep again"), "nothing is stored that could be verified"
    assert second["playbook"] is None
    assert all(row["rule"] == "sweep.value" for row in report["findings"])
    for form in ("markdown", "html", "table"):
        _, out, _ = run("sweep", str(config(tmp_path)), "--values", str(given), "--format", form)
        assert "Beside them" in out
        assert "What to do" in out
        assert VALUE not in out
        assert TOKEN not in out


def test_a_clean_sweep_ends_with_zero_and_a_gap_with_three(tmp_path: Path, tree: Path) -> None:
    (tree / "a.txt").write_text("nothing\n", "utf-8")
    file = config(tmp_path)
    assert run("sweep", str(file), "--values", "-", "--quiet", given="never-there-1\n")[0] == 0
    file = config(tmp_path, gone={"type": "files", "paths": ["not-there"]})
    assert run("sweep", str(file), "--values", "-", "--quiet", given="never-there-1\n")[0] == 3


def test_a_crawl_goes_on_as_if_no_sweep_had_been(tmp_path: Path, tree: Path) -> None:
    plant(tree)
    file = config(tmp_path)
    run("crawl", str(file), "--quiet")
    before = run("findings", "list", "--config", str(file), "--format", "json")[1]
    ledger = run("coverage", "--config", str(file), "--format", "json")[1]
    assert run("sweep", str(file), "--values", "-", "--quiet", given=f"{VALUE}\n")[0] == 1
    assert run("findings", "list", "--config", str(file), "--format", "json")[1] == before
    assert run("coverage", "--config", str(file), "--format", "json")[1] == ledger
    run("crawl", str(file), "--quiet")
    read = json.loads(run("coverage", "--config", str(file), "--format", "json")[1])["coverage"]
    assert sum(row["documents"] for row in read) == 0
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("unsprawl.db*"))
    assert VALUE.encode() not in kept


def test_what_the_store_knows_is_told_before_anything_is_read(tmp_path: Path, tree: Path) -> None:
    (tree / "a.txt").write_text(f"token = {TOKEN}\n", "utf-8")
    file = config(tmp_path)
    run("crawl", str(file), "--quiet")
    (tree / "a.txt").write_text("gone\n", "utf-8")
    code, _, told = run("sweep", str(file), "--values", "-", given=f"{TOKEN}\n")
    assert code == 0
    (known,) = [line for line in told.splitlines() if line.startswith("known")]
    assert "finding" in known
    assert TOKEN not in known
    row = rows(run("findings", "list", "--config", str(file), "--format", "jsonl")[1])[0]
    assert len(row["attrs"]["swept"]) == 1


def test_a_refused_candidate_is_known_when_it_turns_out_to_be_a_secret(tmp_path: Path, tree: Path) -> None:
    given = fill("<password>", "refused")
    (tree / "b.txt").write_text(f"password = {given}\n", "utf-8")
    file = config(tmp_path)
    text = file.read_text("utf-8").replace("g[!i]*", "g[!e]*")
    file.write_text(f"{text}min_confidence: 1.0\n", "utf-8")
    run("crawl", str(file), "--quiet")
    assert not rows(run("findings", "list", "--config", str(file), "--format", "jsonl")[1])
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("unsprawl.db*"))
    assert given.encode() not in kept
    code, _, told = run("sweep", str(file), "--values", "-", given=f"{given}\n")
    assert code == 1
    (known,) = [line for line in told.splitlines() if line.startswith("known")]
    assert known.endswith("/b.txt:1")
    assert "held for no credential" in known
    (tree / "b.txt").write_text("cleaned\n", "utf-8")
    run("crawl", str(file), "--quiet")
    told = run("sweep", str(file), "--values", "-", given=f"{given}\n")[2]
    assert "held for no credential" not in told


def test_the_value_of_a_finding_is_read_again_where_it_stands(tmp_path: Path, tree: Path) -> None:
    (tree / "a.txt").write_text(f"token = {TOKEN}\n", "utf-8")
    file = config(tmp_path)
    run("crawl", str(file), "--quiet")
    (tree / "b.txt").write_text(f"{base64.b64encode(f'x {TOKEN} y'.encode()).decode()}\n", "utf-8")
    id_ = rows(run("findings", "list", "--config", str(file), "--format", "jsonl")[1])[0]["finding"]
    code, out, _ = run("sweep", str(file), "--finding", id_[:8], "--format", "jsonl")
    assert code == 1
    assert sorted(Path(row["path"]).name for row in rows(out)) == ["a.txt", "b.txt"]
    assert {row["finding"] for row in rows(out)} == {id_}


def test_a_rule_without_a_store_is_read_from_the_sources(tmp_path: Path, tree: Path) -> None:
    plant(tree)
    (tree / "g.txt").write_text(f"<i>{TOKEN[:20]}</i>{TOKEN[20:]}\n", "utf-8")
    code, out, _ = run("sweep", str(config(tmp_path)), "--rule", "github.*", "--format", "jsonl")
    assert code == 1
    assert sorted(Path(row["path"]).name for row in rows(out)) == ["e.txt", "g.txt"]


def test_a_paste_gives_the_values_that_the_rules_see_in_it(tmp_path: Path, tree: Path) -> None:
    plant(tree)
    paste = tmp_path / "paste.txt"
    paste.write_text(f"lol\nlook: {TOKEN}\n", "utf-8")
    code, out, _ = run("sweep", str(config(tmp_path)), "--paste", str(paste), "--format", "jsonl")
    assert code == 1
    assert [Path(row["path"]).name for row in rows(out)] == ["e.txt"]

    class Pastes(LoopbackServer):
        def answer(self, request: Request) -> Answer:
            return Answer(200, paste.read_bytes()) if request.path == "/raw/x7" else data({}, 404)

    with Pastes() as server:
        url = f"{server.url}/raw/x7"
        assert run("sweep", str(config(tmp_path)), "--paste", url, "--quiet")[0] == 1
        with pytest.raises(Exception, match="does not have the paste"):
            run("sweep", str(config(tmp_path)), "--paste", f"{server.url}/raw/gone", "--quiet")


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        ((), None, "say what to sweep for"),
        (("--values", "-", "--rule", "x"), "", "leave out the other ways"),
        (("--values", "-", "--paste", "-"), "", "only one of"),
        (("--values", "-"), "", "no value to sweep for"),
        (("--values", "-"), "abc\n", "3 characters"),
        (("--values", "not-there.txt"), None, "cannot read"),
        (("--finding", "abc"), None, "no store"),
    ],
)
def test_what_cannot_be_swept_for_is_said(
    tmp_path: Path, tree: Path, arguments: tuple[str, ...], given: str | None, said: str
) -> None:
    with pytest.raises(Exception, match=said):
        run("sweep", str(config(tmp_path)), *arguments, given=given)


class Slow(LoopbackServer):
    def answer(self, request: Request) -> Answer:
        return data({})


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_reports_what_it_found_so_far(tmp_path: Path, tree: Path, number: int) -> None:
    (tree / "a.txt").write_text(f"x {VALUE}\n", "utf-8")
    output = tmp_path / "report.json"
    (tmp_path / "v.txt").write_text(f"{VALUE}\n", "utf-8")
    with Slow() as server:
        server.faults.append(Fault("", wait=20))
        file = config(tmp_path, held={"type": "registry", "url": server.url})
        arguments = [
            sys.executable,
            "-m",
            "unsprawl",
            "sweep",
            str(file),
            "--values",
            str(tmp_path / "v.txt"),
        ]
        with subprocess.Popen(
            [*arguments, "--output", str(output)], stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("hit"):
                    break
            process.send_signal(signal.SIGUSR1)
            for _ in range(200):
                if output.exists():
                    break
                time.sleep(0.05)
            so_far = json.loads(output.read_text("utf-8"))
            process.send_signal(number)
            process.stderr.read()
            process.wait(60)
    report = json.loads(output.read_text("utf-8"))
    assert so_far["sweep"]["partial"] is True
    assert so_far["sweep"]["copies"] == 1
    assert process.returncode == 3
    assert (report["sweep"]["partial"], report["sweep"]["copies"], report["complete"]) == (True, 1, False)
    assert "the sweep was stopped" in json.dumps(report["coverage"])
