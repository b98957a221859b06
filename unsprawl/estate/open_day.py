"""The demo organisation, open until somebody closes it: a place to try every command on."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from pathlib import Path
from typing import Final

from unsprawl.errors import ConfigError, ExitCode
from unsprawl.estate.organisation import Organisation, start
from unsprawl.estate.pastes import stranger_posts
from unsprawl.placeholders import fill

__all__ = ["serve"]

_ENV: Final = "acme.env"
#: Seconds between two pastes of strangers.
_EVERY: Final = 5.0

_WELCOME: Final = """
Acme is open, on this machine only, until you press Ctrl-C here. In another terminal:

  cd {folder} && . ./{env}

  unsprawl doctor acme.yaml              # what can be reached, and with which rights
  unsprawl crawl acme.yaml               # the first night
  unsprawl findings list --config acme.yaml --format table

  echo "DB_PASSWORD={password}" >> laptop/shop/.env
  unsprawl crawl acme.yaml               # the second night reads that one file

  grep GITHUB_TOKEN laptop/shop/.env | cut -d= -f2 > leaked.txt
  unsprawl sweep acme.yaml --values leaked.txt
  unsprawl watch acme.yaml               # strangers post something every {every:.0f} seconds

Nothing here was ever issued by anybody. The folder stays when Acme closes; it may be deleted.
"""


def serve(folder: Path) -> int:
    """Keep the organisation open in ``folder`` until Ctrl-C; what is there already is left as it is.

    Raises ``ConfigError`` when the folder holds something else.
    """
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / _ENV).is_file())):
        raise ConfigError(f"{folder} is no empty folder", hint="name one that does not exist yet")
    with start(folder) as acme:
        _write_environment(acme)
        place, password = shlex.quote(str(acme.directory)), fill("<alnum:20>", seed="open day")
        _say(_WELCOME.format(folder=place, env=_ENV, every=_EVERY, password=password))
        try:
            for number in itertools.count():
                time.sleep(_EVERY)
                stranger_posts(acme.pastes, number, time.time())
        except KeyboardInterrupt:
            _say("\nAcme is closed.\n")
    return int(ExitCode.CLEAN)


def _write_environment(acme: Organisation) -> None:
    """What the configuration asks of the environment, for a shell to read."""
    program = shlex.quote(str(Path(sys.executable).parent))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(acme.env.items())]
    (acme.directory / _ENV).write_text(
        "\n".join((*lines, f'export PATH={program}:"$PATH"', "")), encoding="utf-8"
    )


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
