"""300 images that share 40 layers, in the real registry: ``python -m benchmarks.registry``.

It prints what a first and a second night download, counted by the registry itself, against the packed
bytes of all distinct layers, and the time against ``skopeo copy`` of the same images: each to a directory
of its own, and all to one layout that keeps a layer once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from unsprawl.estate.imagery import Layer, Step, build, layer
from unsprawl.estate.push import push
from unsprawl.estate.servers import docker_registry
from unsprawl.placeholders import fill

_REQUEST = re.compile(r'"([A-Z]+) (/v2/\S*) HTTP/1\.1" (\d+) (\d+)')
_REPOSITORIES = 30
_WORDS = "import return value config server user_name self.client timeout retry update select where".split()


def made(number: int, size: int) -> Layer:
    """A layer of ``size`` bytes before packing: code, settings, some binaries, and one secret."""
    chance = random.Random(number)
    files: dict[str, bytes | str] = {}
    left = size
    while left > 0:
        name = f"srv/l{number:02}/d{len(files) % 13}/f{len(files)}"
        if len(files) % 5 == 4:
            content = chance.randbytes(chance.randint(20_000, 120_000))
            files[f"{name}.so"] = b"\x7fELF" + content
        else:
            lines = (" ".join(chance.choices(_WORDS, k=9)) for _ in range(chance.randint(50, 2000)))
            content = "\n".join(lines).encode()
            files[f"{name}.py"] = content
        left -= len(content)
    files[f"srv/l{number:02}/.env"] = f"GITHUB_TOKEN={fill('<github-token:ghp_>', str(number))}\n"
    return layer(files)


def fill_registry(url: str, images: int, layers: list[Layer]) -> list[str]:
    """Every image has one of two bases of five layers, and three of the others. Their names."""
    chance = random.Random(300)
    bases, rest = (layers[:5], layers[5:10]), layers[10:]
    names = []
    for number in range(images):
        # Every layer is in some image, however the dice fall.
        own = [rest[number % len(rest)], *chance.sample(rest, 2)]
        steps = [
            Step(f"RUN step {at}", one) for at, one in enumerate([*bases[number % 2], *dict.fromkeys(own)])
        ]
        repository, tag = f"team/app{number % _REPOSITORIES}", f"v{number // _REPOSITORIES}"
        push(url, repository, build(steps, env=[f"BUILD={number}"]), tag)
        names.append(f"{repository}:{tag}")
    return names


class Log:
    """The access log of the registry, from where it was last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size

    def rest(self) -> list[tuple[str, str, int]]:
        """Method, path and bytes of every answer that was a success."""
        time.sleep(0.3)
        with self._path.open("rb") as file:
            file.seek(self._at)
            text = file.read().decode("utf-8", "replace")
            self._at = file.tell()
        return [(m[1], m[2], int(m[4])) for m in _REQUEST.finditer(text) if m[3][0] == "2"]


def skopeo(url: str, names: list[str], target: str, folder: Path) -> float:
    """Seconds that it takes to copy all images; ``target`` is filled with the number of each."""
    source = url.replace("http://", "docker://")
    began = time.perf_counter()
    for number, name in enumerate(names):
        copy = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"{source}/{name}"]
        subprocess.run([*copy, target.format(number)], cwd=folder, check=True)
        if target.startswith("dir:"):
            shutil.rmtree(folder / target.removeprefix("dir:").format(number))
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=__doc__)
    parser.add_argument("--images", type=int, default=300, metavar="N")
    parser.add_argument("--layers", type=int, default=40, metavar="N")
    parser.add_argument("--layer-mb", type=float, default=6.0, metavar="MB", help="before packing")
    parser.add_argument("--no-skopeo", action="store_true", help="do not compare")
    options = parser.parse_args()
    layers = [made(number, int(options.layer_mb * 1e6)) for number in range(options.layers)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with docker_registry(folder / "registry", access_log=True) as url:
            names = fill_registry(url, options.images, layers)
            used = {one.blob.digest: len(one.blob.data) for one in layers}
            log = Log(folder / "registry" / "registry.log")
            packed = sum(used.values()) / 1e6
            print(f"{len(names)} images, {len(used)} layers, {packed:.0f} MB packed")
            best = _nights(url, folder, log, used, len(names))
            if not options.no_skopeo and shutil.which("skopeo"):
                for what, target in (("a directory each", "dir:out{}"), ("one layout", "oci:shared:i{}")):
                    took = skopeo(url, names, target, folder)
                    moved = sum(size for _, path, size in log.rest() if "/blobs/" in path) / 1e6
                    print(
                        f"skopeo copy to {what}: {took:.1f} s, {moved:.0f} MB downloaded, "
                        f"{packed / took:.1f} MB/s of distinct layers; unsprawl takes {best / took:.2f} of it"
                    )
    return 0


def _nights(url: str, folder: Path, log: Log, used: dict[str, int], tags: int) -> float:
    """Two nights, the second without anything new. Seconds of the first."""
    (folder / "bench.yaml").write_text(json.dumps({"sources": {"images": {"type": "registry", "url": url}}}))
    env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}
    first = 0.0
    for night in ("first", "second"):
        crawl = [sys.executable, "-m", "unsprawl", "crawl", str(folder / "bench.yaml"), "--quiet"]
        began, before = time.perf_counter(), _cpu()
        done = subprocess.run(crawl, env=env, check=False, capture_output=True, text=True)
        wall, cpu = time.perf_counter() - began, _cpu() - before
        if done.returncode:
            print(done.stderr)
        asked = log.rest()
        blobs = Counter(
            path.rpartition("/")[2] for method, path, _ in asked if method == "GET" and "/blobs/" in path
        )
        moved = sum(size for _, path, size in asked if path.rpartition("/")[2] in used)
        methods = Counter(method for method, path, _ in asked if "/manifests/" in path)
        first = first or wall
        print(
            f"{night} night: {wall:.1f} s, {cpu:.1f} s of CPU; layers: {moved / 1e6:.1f} MB "
            f"downloaded, ratio {moved / sum(used.values()):.3f}, each at most "
            f"{max((count for digest, count in blobs.items() if digest in used), default=0)} times; "
            f"{moved / 1e6 / wall:.1f} MB/s; manifests: {methods['HEAD']} HEAD, {methods['GET']} GET "
            f"for {tags} tags; {sum(blobs.values()) - sum(blobs[one] for one in used)} configurations"
        )
    shown = [sys.executable, "-m", "unsprawl", "findings", "list", "--format", "jsonl"]
    store = ["--store", str(folder / "unsprawl.db")]
    listed = subprocess.run([*shown, *store], env=env, check=False, capture_output=True, text=True).stdout
    print(f"{len(listed.splitlines())} of {len(used)} planted secrets were found")
    return first


def _cpu() -> float:
    """Seconds of all children that ended; the registry goes on, and is not among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
