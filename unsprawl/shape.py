"""Plain values into msgspec structs, with errors that a person can act on.

msgspec says ``Object contains unknown field `tokne` - at `$.x[0]` ``; the owner of the file needs the
line, the way to the key from the top and the key that was meant. No error tells a value: what stands
in the wrong place may be a password.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar

import msgspec
from msgspec import inspect

from unsprawl.errors import ConfigError

__all__ = ["Origin", "Path", "Places", "dotted", "fit", "leaves", "nearest"]

#: The way to a value: keys and list positions from the top of the document.
Path: TypeAlias = "tuple[str | int, ...]"
#: The line of every key and list entry, 1-based.
Places: TypeAlias = Mapping[Path, int]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "nothing",
    "date": "a date",
}
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")


class Origin:
    """Where values come from: ``fail`` words a complaint with file, line and place.

    ``show`` makes the names in it fit to be printed.
    """

    def __init__(self, file: str, places: Places, show: Callable[[str], str] = str) -> None:
        self.file = file
        self.places = places
        self._show = show

    def fail(self, path: Path, what: str, hint: str = "") -> NoReturn:
        line = next((self.places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.places), 1)
        # A key may be a password in the wrong line.
        place, what = self._show(dotted(path)), self._show(what)
        raise ConfigError(f"{self.file}:{line}: " + (f"{place}: " if place else "") + what, hint=hint)


def dotted(path: Path) -> str:
    """``("sources", "chat", "channels", 0)`` as ``sources.chat.channels[0]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be."""
    matches = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def fit(raw: Any, kind: type[_Struct], origin: Origin, at: Path = ()) -> _Struct:
    """``raw`` as a ``kind``, or a :class:`ConfigError` that names the place below ``at``."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        path = _path(where.rstrip("`"))
        spec = _spec(inspect.type_info(kind), path)
        _complain(message, spec, _value(raw, path), path, origin, at)


def leaves(
    raw: Any, kind: inspect.Type, change: Callable[[str, dict[str, Any], Path], str], at: Path = ()
) -> Any:
    """A copy of ``raw`` with ``change(text, extra, path)`` for each text; ``extra`` is its field's mark."""
    return _leaves(raw, (kind,), {}, change, at)


def _leaves(
    raw: Any, kinds: tuple[inspect.Type, ...], extra: dict[str, Any], change: Callable[..., str], at: Path
) -> Any:
    kinds, extra = _flat(kinds, extra)
    if isinstance(raw, str):
        return change(raw, extra, at) if kinds else raw  # no kind: an unknown key, which `fit` refuses
    if isinstance(raw, list):
        items = tuple(item for kind in kinds if (item := getattr(kind, "item_type", None)) is not None)
        return [_leaves(value, items, {}, change, (*at, index)) for index, value in enumerate(raw)]
    if isinstance(raw, dict):
        copy = {}
        for key, value in raw.items():
            below = tuple(kind.value_type for kind in kinds if isinstance(kind, inspect.DictType))
            for kind in kinds:
                if isinstance(kind, inspect.StructType):
                    below += tuple(field.type for field in kind.fields if field.encode_name == key)
            copy[key] = _leaves(value, below, {}, change, (*at, key))
        return copy
    return raw


def _flat(
    kinds: tuple[inspect.Type, ...], extra: dict[str, Any]
) -> tuple[tuple[inspect.Type, ...], dict[str, Any]]:
    """Unions and marks taken apart: a text in a union with a reference is taken for a reference."""
    plain: list[inspect.Type] = []
    todo = list(kinds)
    while todo:
        kind = todo.pop()
        if isinstance(kind, inspect.Metadata):
            extra = {**extra, **(kind.extra or {})} if _is_text(kind.type) else extra
            todo.append(kind.type)
        elif isinstance(kind, inspect.UnionType):
            todo.extend(kind.types)
        else:
            plain.append(kind)
    return tuple(plain), extra


def _is_text(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_is_text(member) for member in kind.types)
    return isinstance(kind, inspect.StrType)


def _path(where: str) -> Path:
    path: list[str | int] = []
    for step in _STEP.finditer(where):
        if step.group(0) == "[...]":
            break  # msgspec hides which key of a mapping it was
        path.append(step.group(1) if step.group(1) is not None else int(step.group(2)))
    return tuple(path)


def _spec(kind: inspect.Type, path: Path) -> tuple[inspect.Type, ...]:
    kinds, _ = _flat((kind,), {})
    for step in path:
        below: tuple[inspect.Type, ...] = ()
        for each in kinds:
            if isinstance(step, int):
                item = getattr(each, "item_type", None)
                below += (item,) if item is not None else ()
            elif isinstance(each, inspect.StructType):
                below += tuple(field.type for field in each.fields if field.encode_name == step)
        kinds, _ = _flat(below, {})
    return kinds


def _value(raw: Any, path: Path) -> Any:
    for step in path:
        raw = raw[step]
    return raw


def _complain(
    message: str, spec: tuple[inspect.Type, ...], value: Any, path: Path, origin: Origin, at: Path
) -> NoReturn:
    whole = (*at, *path)
    structs = [kind for kind in spec if isinstance(kind, inspect.StructType)]
    known = [field.encode_name for kind in structs for field in kind.fields]
    if field := re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL):
        name = field.group(1)
        near = nearest(name, known)
        what = f"unknown key {name!r}" + (f"; did you mean {near!r}?" if near else "")
        origin.fail((*whole, name), what, f"known keys: {', '.join(sorted(known))}")
    if field := re.fullmatch(r"Object missing required field `(.*)`", message):
        origin.fail(whole, f"the key {field.group(1)!r} is missing")
    literals = [kind for kind in spec if isinstance(kind, inspect.LiteralType)]
    choices = [str(choice) for kind in literals for choice in kind.values]
    if choices and (isinstance(value, str) or message.startswith("Invalid enum")):
        near = nearest(value, choices) if isinstance(value, str) else None
        origin.fail(
            whole,
            "this is none of the choices" + (f"; did you mean {near!r}?" if near else ""),
            f"choose from: {', '.join(choices)}",
        )
    if message.startswith("Invalid RFC3339 encoded date"):
        origin.fail(whole, "expected a date", "write it as 2030-12-31")
    expected = re.fullmatch(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(.*)", message, re.DOTALL)
    if expected is None:
        origin.fail(whole, message[:1].lower() + message[1:])
    wanted, got, rest = expected.groups()
    words = [_WORDS.get(word, word) for word in wanted.split(" | ") if word != "null"]
    if got is None:
        rest = re.sub(r"of length >= 1$", "that is not empty", rest.strip()).replace("matching regex", "like")
        origin.fail(whole, f"expected {' or '.join(words)} {rest}".rstrip())
    hint = ""
    if "text" in words and got in ("int", "float", "bool"):
        hint = "put it in quotes"
    elif "true or false" in words and got == "str":
        hint = "write true or false, without quotes"
    elif "a list" in words and got == "str":
        hint = "write it as a list: [ … ]"
    origin.fail(whole, f"expected {' or '.join(words)}, found {_WORDS.get(got, got)}", hint)
