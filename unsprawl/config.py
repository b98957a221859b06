"""The configuration file: one YAML document, checked to the last key before any work begins.

Relative paths in it (``store``, ``rules``, ``file:`` references, what sources mark as
:data:`FilePath`) start from the folder of the file, wherever unsprawl is started.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec.inspect import type_info

from unsprawl import alert_settings
from unsprawl.alert_settings import ChannelSettings
from unsprawl.errors import ConfigError
from unsprawl.keeper_settings import SETTINGS, KeeperSettings
from unsprawl.plugins import SourceType, source_type, source_types
from unsprawl.redaction import Redactor
from unsprawl.references import FORMS, REFERENCE_PATTERN, Reference, interpolate, resolve
from unsprawl.shape import Origin, fit, leaves
from unsprawl.source_settings import AcceptedGap, CanarySettings, FilePath, SourceBudget, SourceConfig
from unsprawl.structs import Struct

__all__ = [
    "AcceptedGap",
    "CanarySettings",
    "Checks",
    "Config",
    "ConfigFile",
    "ConfiguredChannel",
    "ConfiguredKeeper",
    "ConfiguredSource",
    "FilePath",
    "Reference",
    "SourceBudget",
    "SourceConfig",
    "Watchlist",
    "load",
    "resolve",
    "schema",
]

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]

_STORE: Final = "unsprawl.db"
_LARGEST_BYTES: Final = 1 << 20
_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_URL_PASSWORD = re.compile(r"://[^/?#\s:@]*:[^/?#\s@]+@")


class Watchlist(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The organisation's names, which `watch` looks for in pastes.

    ``domains`` stand for the hosts and mail addresses below them too, ``hosts`` for themselves, ``words``
    are names of projects and products. ``mentions``: a name alone, without a credential, is told.
    """

    domains: tuple[Annotated[str, msgspec.Meta(pattern=r"^[^\s/:@]+\.[^\s/:@]+$")], ...] = ()
    hosts: tuple[Annotated[str, msgspec.Meta(pattern=r"^[^\s/@]{3,}$")], ...] = ()
    words: tuple[Annotated[str, msgspec.Meta(min_length=4)], ...] = ()
    mentions: bool = True


_Duration: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,5}[mhdw]$")]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=600)]


class Checks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where live checks may go, and how carefully. Whether there are any says ``verify``.

    ``hosts`` (globs) are your own hosts that may be called though found text names them, ``networks`` the
    private addresses that may be called (``10.0.0.0/8``), ``endpoints`` other addresses for a provider's
    host (a private deployment, a test server), ``unencrypted`` hosts that may be spoken to without TLS,
    ``authorities`` files of certificate authorities to trust besides the system's.

    ``max_age`` is how long an answer counts, ``timeout`` the seconds one check may take, ``interval`` the
    least seconds between two requests to one provider, ``concurrency`` how many checks run at once and
    ``attempts`` how many passwords of one account may be tried in a day: mind its lockout.

    ``privileges`` asks a second, read-only question where the first does not tell what a credential may
    do. ``public_keys`` are files (known_hosts, authorized_keys, certificates, public keys) that private keys
    are compared with, ``jwt_keys`` what tokens of an issuer are signed with, ``canaries`` AWS accounts whose
    keys are never touched, besides those known to be traps.
    """

    hosts: tuple[_Text, ...] = ()
    networks: tuple[_Text, ...] = ()
    endpoints: dict[str, str] = {}
    unencrypted: tuple[_Text, ...] = ()
    authorities: tuple[FilePath, ...] = ()
    max_age: _Duration = "1d"
    timeout: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    interval: _Seconds = 0.5
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    attempts: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2
    privileges: bool = False
    public_keys: tuple[FilePath, ...] = ()
    jwt_keys: dict[str, Reference] = {}
    canaries: tuple[Annotated[str, msgspec.Meta(pattern=r"^[0-9]{12}$")], ...] = ()


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the file. What stands under ``sources`` is checked by the type of each source."""

    sources: dict[str, dict[str, Any]]
    store: FilePath = _STORE
    key: Reference | None = None
    verify: bool = False
    checks: Checks = Checks()
    seal: Literal["never", "open"] | None = None
    jobs: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    executor: Literal["local"] = "local"
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    rules: tuple[FilePath, ...] = ()
    exclude_rules: tuple[_Text, ...] = ()
    owners: FilePath | None = None
    watch: Watchlist = Watchlist()
    known: dict[str, dict[str, Any]] = {}
    notify: tuple[dict[str, Any], ...] = ()


class ConfiguredChannel(Struct, frozen=True):
    """One entry under ``notify``: who is told of what."""

    name: str
    type: str
    settings: ChannelSettings


class ConfiguredKeeper(Struct, frozen=True):
    """One entry under ``known``: where secrets are kept on purpose."""

    name: str
    type: str
    settings: KeeperSettings


class ConfiguredSource(Struct, frozen=True):
    """One entry under ``sources``: what ``plugins.build_source(*entry)`` takes."""

    name: str
    type: str
    config: SourceConfig


class Config(Struct, frozen=True, kw_only=True):
    """A configuration that was found good. ``store`` and ``rules`` are absolute."""

    file: Path
    store: Path
    sources: Mapping[str, ConfiguredSource]
    key: Reference | None = None
    verify: bool = False
    checks: Checks = Checks()
    seal: Literal["never", "open"] | None = None
    jobs: int | None = None
    executor: Literal["local"] = "local"
    min_confidence: float | None = None
    rules: tuple[Path, ...] = ()
    exclude_rules: tuple[str, ...] = ()
    owners: Path | None = None
    watch: Watchlist = Watchlist()
    known: tuple[ConfiguredKeeper, ...] = ()
    notify: tuple[ConfiguredChannel, ...] = ()

    @property
    def name(self) -> str:
        """``nightly`` for ``configs/nightly.yaml``: what the ledger calls the runs."""
        return self.file.stem

    @property
    def seals(self) -> bool:
        """Whether values of open findings are kept sealed: as written, else where checks need them."""
        return self.seal == "open" if self.seal else self.verify


def load(path: Path | str) -> Config:
    """Read and check a configuration file; :class:`ConfigError` names file, line and key."""
    from unsprawl import yamltext

    file = Path(path)
    raw, places = yamltext.parse(_read(file), str(path))
    origin = Origin(str(path), places, Redactor().text)
    if raw is None:
        raise ConfigError(f"{path}: the file is empty", hint="start from configs/nightly.yaml")
    if not isinstance(raw, dict):
        origin.fail((), "expected keys with values at the top", "begin with `sources:`")
    folder = file.absolute().parent
    sources = raw.get("sources")
    top = {"store": _STORE, **raw}
    if "sources" in raw:
        top["sources"] = {}  # each is checked below, by its own type
    known = raw.get("known") or {}
    if isinstance(known, dict):
        top["known"] = {}
    channels = raw.get("notify") or []
    if isinstance(channels, list):
        top["notify"] = []
    plain = _leaves(top, ConfigFile, folder, origin, ())
    settings = fit(plain, ConfigFile, origin)
    if not isinstance(sources, dict) or not sources:
        origin.fail(("sources",), "expected at least one source", "write `name: {type: …}` below it")
    return Config(
        file=file,
        store=Path(settings.store),
        sources={name: _source(name, entry, folder, origin) for name, entry in sources.items()},
        key=settings.key,
        verify=settings.verify,
        checks=settings.checks,
        seal=settings.seal,
        jobs=settings.jobs,
        executor=settings.executor,
        min_confidence=settings.min_confidence,
        rules=tuple(Path(each) for each in settings.rules),
        exclude_rules=settings.exclude_rules,
        owners=Path(settings.owners) if settings.owners else None,
        watch=settings.watch,
        known=tuple(_keeper(name, entry, folder, origin) for name, entry in known.items()),
        notify=_channels(channels, folder, origin),
    )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        what = f"{file}: cannot read the configuration: {error.strerror}"
        raise ConfigError(what, hint="give the path of a YAML file") from None
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"{file}: larger than 1 MiB, so it is no configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: this is not UTF-8 text", hint="save it as UTF-8") from None
    if "\0" in text:
        raise ConfigError(f"{file}: this is a binary file, not a configuration")
    return text


def _source(name: str, entry: Any, folder: Path, origin: Origin) -> ConfiguredSource:
    at = ("sources", name)
    if _SOURCE_NAME.fullmatch(name) is None:
        origin.fail(at, "a source's name is made of letters, digits, - _ and . (64 at most)")
    if not isinstance(entry, dict):
        origin.fail(at, "expected keys with values", "write `name: {type: …}`")
    type_name = entry.get("type")
    if not isinstance(type_name, str):
        origin.fail(at, "the key 'type' is missing" if type_name is None else "the type must be text")
    try:
        kind = source_type(type_name)
        config = _config_of(kind, type_name)
    except ConfigError as error:
        origin.fail((*at, "type"), error.message, error.hint)
    rest = {key: value for key, value in entry.items() if key != "type"}
    settings = fit(_leaves(rest, config, folder, origin, at), config, origin, at)
    for index, canary in enumerate(settings.canaries):
        if (canary.fingerprint is None) == (canary.value is None):
            hint = "`unsprawl canary new` prints the fingerprint"
            origin.fail((*at, "canaries", index), "expected either `fingerprint` or `value`", hint)
    return ConfiguredSource(name, type_name, settings)


def _keeper(name: str, entry: Any, folder: Path, origin: Origin) -> ConfiguredKeeper:
    at = ("known", name)
    if _SOURCE_NAME.fullmatch(name) is None:
        origin.fail(at, "a keeper's name is made of letters, digits, - _ and . (64 at most)")
    type_name = entry.get("type") if isinstance(entry, dict) else None
    kind = SETTINGS.get(type_name) if isinstance(type_name, str) else None
    if kind is None:
        origin.fail(at, "the key 'type' is missing or unknown", f"write one of: {', '.join(SETTINGS)}")
    rest = {key: value for key, value in entry.items() if key != "type"}
    plain = _leaves(rest, kind, folder, origin, at)
    return ConfiguredKeeper(name, str(type_name), fit(plain, kind, origin, at))


def _channels(entries: list[Any], folder: Path, origin: Origin) -> tuple[ConfiguredChannel, ...]:
    found: dict[str, ConfiguredChannel] = {}
    for index, entry in enumerate(entries):
        at = ("notify", index)
        type_name = entry.get("type") if isinstance(entry, dict) else None
        kind = alert_settings.SETTINGS.get(type_name) if isinstance(type_name, str) else None
        if kind is None:
            choices = ", ".join(alert_settings.SETTINGS)
            origin.fail(at, "the key 'type' is missing or unknown", f"write one of: {choices}")
        rest = {key: value for key, value in entry.items() if key != "type"}
        settings = fit(_leaves(rest, kind, folder, origin, at), kind, origin, at)
        name = settings.name or str(type_name)
        if name in found:
            origin.fail(at, f"two channels are called {name!r}", "give each a `name` of its own")
        found[name] = ConfiguredChannel(name, str(type_name), settings)
    return tuple(found.values())


def _config_of(kind: SourceType, type_name: str) -> type[SourceConfig]:
    if not issubclass(kind.Config, SourceConfig):
        raise ConfigError(f"the Config of source type {type_name!r} does not derive from SourceConfig")
    return kind.Config


def _leaves(
    raw: Any, kind: type[msgspec.Struct], folder: Path, origin: Origin, at: tuple[str | int, ...]
) -> Any:
    def change(text: str, extra: dict[str, Any], path: tuple[str | int, ...]) -> str:
        if extra.get("reference"):
            if re.fullmatch(REFERENCE_PATTERN, text) is None:
                what = "expected a reference to the credential, not the credential itself"
                origin.fail(path, what, f"write one of: {FORMS}")
            return f"file:{_absolute(text[5:], folder)}" if text.startswith("file:") else text
        try:
            text = interpolate(text)
        except ConfigError as error:
            origin.fail(path, error.message, error.hint)
        if _URL_PASSWORD.search(text):
            hint = "take it out, and give user and token in keys of their own"
            origin.fail(path, "a password in a URL", hint)
        return _absolute(text, folder) if extra.get("path") and text not in ("", "-") else text

    return leaves(raw, type_info(kind), change, at)


def _absolute(path: str, folder: Path) -> str:
    return os.path.normpath(folder / Path(path).expanduser())


def schema() -> dict[str, Any]:
    """The JSON Schema of the file with all source types that come with unsprawl, for editors."""
    own = [name for name, entry in source_types().items() if entry.value.startswith("unsprawl.")]
    (_,), parts = msgspec.json.schema_components((ConfigFile,))
    top = parts.pop(ConfigFile.__name__)
    for name in own:
        kind = _config_of(source_type(name), name)
        (root,), below = msgspec.json.schema_components((kind,), ref_template=f"#/$defs/{name}.{{name}}")
        main = below.pop(root["$ref"].removeprefix(f"#/$defs/{name}."))
        main["properties"] = {"type": {"const": name}, **main["properties"]}
        main["required"] = ["type", *(key for key in main["required"] if key != "type")]
        parts |= {name: {**main, "title": name}}
        parts |= {f"{name}.{part}": content for part, content in below.items()}
    entry = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": own}},
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}}, "then": {"$ref": f"#/$defs/{name}"}}
            for name in own
        ],
    }
    top["properties"]["known"] = {"type": "object", "additionalProperties": _one_of("known", SETTINGS, parts)}
    top["properties"]["notify"] = {
        "type": "array",
        "items": _one_of("notify", alert_settings.SETTINGS, parts),
    }
    top["properties"]["sources"] = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{_SOURCE_NAME.pattern}$"},
        "additionalProperties": entry,
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "unsprawl configuration"}
    whole: dict[str, Any] = _summarised(msgspec.to_builtins({**top, **head, "$defs": parts}))
    return whole


def _one_of(area: str, kinds: Mapping[str, type[msgspec.Struct]], parts: dict[str, Any]) -> dict[str, Any]:
    """The schema of an entry of ``area``, which its type decides; what it refers to goes to ``parts``."""
    choices = []
    for name, kind in kinds.items():
        (root,), below = msgspec.json.schema_components(
            (kind,), ref_template=f"#/$defs/{area}.{name}.{{name}}"
        )
        main = below.pop(root["$ref"].rpartition(".")[2])
        main["properties"] = {"type": {"const": name}, **main["properties"]}
        main["required"] = ["type", *main.get("required", ())]
        parts[f"{area}.{name}"] = main
        parts |= {f"{area}.{name}.{part}": content for part, content in below.items()}
        choices.append({"$ref": f"#/$defs/{area}.{name}"})
    return {"oneOf": choices}


def _summarised(value: Any) -> Any:
    """Docstrings become descriptions: an editor shows the first paragraph, without our markup."""
    if isinstance(value, dict):
        return {key: _summarised(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_summarised(each) for each in value]
    if isinstance(value, str) and "\n\n" in value:
        return value.partition("\n\n")[0].replace("``", "`")
    return value.replace("``", "`") if isinstance(value, str) else value


def main() -> None:
    """``python -m unsprawl.config`` prints the JSON Schema."""
    import json
    import sys

    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
