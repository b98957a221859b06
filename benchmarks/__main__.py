"""The command line of the benchmarks: what to measure, how often, and where the figures go."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import tables
from benchmarks.commits import commits
from benchmarks.compare import Figures, compare
from benchmarks.corpora import CORPORA, DEFAULT, Corpus, build, home
from benchmarks.costs import SAMPLED, costs
from benchmarks.judging import judging
from benchmarks.startup import startup
from benchmarks.tools import environment, kingfisher, machine, unsprawl

_QUICK = 0.1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("scan", "costs", "startup", "commits", "all"), default="all"
    )
    parser.add_argument(
        "--corpora",
        nargs="+",
        choices=CORPORA,
        default=list(DEFAULT),
        metavar="NAME",
        help=f"of {', '.join(CORPORA)}",
    )
    parser.add_argument(
        "--repeat", type=int, default=5, metavar="N", help="counted runs of each tool (default 5)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all cores"
    )
    parser.add_argument("--quick", action="store_true", help="corpora of a tenth, one counted run")
    parser.add_argument("--alone", action="store_true", help="unsprawl only, without the peer")
    parser.add_argument(
        "--kingfisher", type=Path, metavar="BINARY", help="an installed one (default: from PyPI)"
    )
    parser.add_argument(
        "--peer-option", action="append", default=[], metavar="OPTION", help="more for kingfisher"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures (default: in the cache folder)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    options = parser.parse_args(arguments)
    repeat, scale = (1, _QUICK) if options.quick else (options.repeat, 1.0)
    Path(environment()["XDG_CACHE_HOME"]).mkdir(parents=True, exist_ok=True)
    tools = [unsprawl()]
    if not options.alone and options.what not in {"commits", "costs"}:
        tools.append(kingfisher(options.kingfisher, tuple(options.peer_option)))

    result: dict[str, object] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    result |= {"jobs": options.jobs, "repeat": repeat, "scale": scale}
    result["tools"] = {tool.name: {"version": tool.version, "command": tool.command} for tool in tools}
    report = tables.Report(machine(), options.jobs, repeat)
    if options.what in {"scan", "all"}:
        scans: list[tuple[Corpus, list[Figures]]] = []
        for name in options.corpora:
            print(f"{name}: building, then {repeat + 2} runs of each tool", file=sys.stderr)
            corpus = build(name, scale)
            scans.append((corpus, compare(corpus, tools, jobs=options.jobs, repeat=repeat)))
        result["scans"] = [_plain(corpus, figures) for corpus, figures in scans]
        report.scans(scans)
    if options.what in {"costs", "all"}:
        found = list(costs([build(name, scale) for name in options.corpora if name in SAMPLED]))
        result["costs"] = [asdict(one) for one in found]
        for one in found:
            report.costs(one)
        judged = list(judging([build(name, scale) for name in options.corpora]))
        result["judging"] = [asdict(one) for one in judged]
        report.judging(judged)
    if options.what in {"startup", "all"}:
        times = startup(tools, max(3, repeat))
        result["startup_s"] = times
        report.startup(times)
    if options.what in {"commits", "all"}:
        rates = commits(quick=options.quick)
        result["commits"] = rates
        report.commits(rates)

    target = options.json or home() / "results.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(f"figures: {target}", file=sys.stderr)
    if options.markdown:
        options.markdown.write_text(report.markdown())
    return 0


def _plain(corpus: Corpus, figures: list[Figures]) -> dict[str, object]:
    return {
        "corpus": corpus.name,
        "bytes": corpus.size_bytes,
        "files": corpus.files,
        "tools": [asdict(figure) for figure in figures],
    }


if __name__ == "__main__":
    raise SystemExit(main())
