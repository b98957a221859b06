"""Plots as SVG: plain shapes with classes, so that the style of the page colours them in light and dark.

Every mark carries its figure as a ``<title>``, which browsers show under the pointer and read aloud.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from unsprawl.report.escape import plain

__all__ = ["Band", "areas", "bars", "columns", "ranges"]

_WIDTH: Final = 560
_HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 24
_ROW: Final = 26
_NAMES: Final = 150
_LABELS: Final = 6
_NARROW: Final = 44
_LONGEST: Final = 22
#: Where a scale of times begins, in seconds.
_SHORTEST: Final = 2_400.0


@dataclass(frozen=True, slots=True)
class Band:
    """One position on an axis: values by class, drawn in this order; ``below`` the line of zero."""

    name: str
    values: Mapping[str, float]
    below: Mapping[str, float] | None = None


def columns(title: str, bands: Sequence[Band], *, share: bool = False) -> Markup:
    """Stacked columns, of equal height where ``share`` shows parts of a whole."""
    up = 1.0 if share else max((sum(band.values.values()) for band in bands), default=0)
    down = max((sum((band.below or {}).values()) for band in bands), default=0)
    scale = _Scale(-down, up, percent=share)
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(bands))
    bar = min(34.0, width * 0.74)

    def marks() -> Iterator[Markup]:
        for at, band in enumerate(bands):
            x = _LEFT + at * width + (width - bar) / 2
            whole = sum(band.values.values()) or 1
            for values, sign in ((band.values, 1), (band.below or {}, -1)):
                base = 0.0
                for name, value in values.items():
                    if not value:
                        continue
                    size = value / whole if share else value
                    low, high = sorted((scale(sign * base), scale(sign * (base + size))))
                    base += size
                    yield _rect(x, low, bar, high - low, name, f"{band.name}: {_shown(value)} {_words(name)}")

    return _frame(title, scale, marks(), [(band.name, at) for at, band in enumerate(bands)], width)


def areas(title: str, bands: Sequence[Band]) -> Markup:
    """Stacked areas over time, with the sum told at each point."""
    scale = _Scale(0, max((sum(band.values.values()) for band in bands), default=0))
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(bands))

    def middle(at: int) -> float:
        return _LEFT + (at + 0.5) * width

    def marks() -> Iterator[Markup]:
        under = [0.0] * len(bands)
        for name in bands[0].values if bands else ():
            over = [low + band.values[name] for low, band in zip(under, bands, strict=True)]
            edge = [(middle(at), scale(value)) for at, value in enumerate(over)]
            back = [(middle(at), scale(value)) for at, value in reversed(list(enumerate(under)))]
            if any(band.values[name] for band in bands):
                points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*edge, *back])
                yield Markup('<polygon class="{}" points="{}"/>').format(f"area {name}", points)
            under = over
        top = " ".join(f"{middle(at):.1f},{scale(value):.1f}" for at, value in enumerate(under))
        yield Markup('<polyline class="edge" points="{}"/>').format(top)
        for at, band in enumerate(bands):
            kinds = [f"{_shown(value)} {_words(name)}" for name, value in band.values.items() if value]
            parts = ", ".join(kinds)
            told = f"{band.name}: {_shown(under[at])}" + (f" ({parts})" if parts else "")
            yield _rect(_LEFT + at * width, _TOP, width, _HEIGHT - _TOP - _BOTTOM, "hover", told)

    return _frame(title, scale, marks(), [(band.name, at) for at, band in enumerate(bands)], width)


def bars(title: str, bands: Sequence[Band]) -> Markup:
    """Stacked bars, one a row, the sum behind each."""
    most = max((sum(band.values.values()) for band in bands), default=0) or 1
    room = _WIDTH - _NAMES - 60

    def marks() -> Iterator[Markup]:
        for at, band in enumerate(bands):
            y, x = at * _ROW + 4, float(_NAMES)
            yield _text(_NAMES - 10, y + 13, _short(band.name), "end", band.name)
            for name, value in band.values.items():
                if value:
                    size = max(2.0, room * value / most)
                    yield _rect(x, y, size, 17, name, f"{band.name}: {_shown(value)} {_words(name)}")
                    x += size
            yield _text(x + 8, y + 13, _shown(sum(band.values.values())), "start", kind="soft")

    return _svg(title, max(1, len(bands)) * _ROW + 4, marks())


def ranges(
    title: str, rows: Sequence[tuple[str, str, float, float]], worded: Callable[[float], str]
) -> Markup:
    """From the median to the 90th percentile of seconds, on a scale that hours and years share.

    ``rows`` are name, class, median and 90th percentile.
    """
    low, high = math.log10(_SHORTEST), math.log10(max([86_400.0 * 30, *(row[3] for row in rows)]) * 1.2)
    room = _WIDTH - _NAMES - 24
    height = len(rows) * _ROW + 30

    def across(seconds: float) -> float:
        return _NAMES + room * (math.log10(max(seconds, _SHORTEST)) - low) / (high - low)

    def marks() -> Iterator[Markup]:
        for name, seconds in _MOMENTS:
            if math.log10(seconds) < high:
                x = across(seconds)
                yield _line(x, 0, x, height - 24)
                yield _text(x, height - 8, name, "middle", kind="soft")
        for at, (name, kind, median, p90) in enumerate(rows):
            y = at * _ROW + 14
            yield _text(_NAMES - 10, y + 4, _short(name), "end", name)
            told = f"{name}: median {worded(median)}, 90 % within {worded(p90)}"
            start, stop = across(median), across(p90)
            yield _rect(start, y - 3, max(0.0, stop - start), 6, f"{kind} pale", told)
            yield Markup('<circle class="{}" cx="{:.1f}" cy="{}" r="6"><title>{}</title></circle>').format(
                kind, start, y, told
            )
            yield Markup('<path class="stop {}" d="M{:.1f} {}v12"/>').format(kind, stop, y - 6)

    return _svg(title, height, marks())


_MOMENTS: Final = (
    ("1 h", 3_600.0), ("1 day", 86_400.0), ("1 week", 604_800.0), ("1 month", 2_592_000.0),
    ("1 year", 31_536_000.0),
)  # fmt: skip


class _Scale:
    """Values to heights, with round numbers for lines."""

    def __init__(self, low: float, high: float, *, percent: bool = False) -> None:
        span = (high - low) or 1.0
        self.percent = percent
        if percent:
            self.ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        else:
            raw = span / 4
            power = 10.0 ** math.floor(math.log10(raw))
            step = max(1.0, next(power * n for n in (1, 2, 5, 10) if power * n >= raw))
            first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
            self.ticks = [step * n for n in range(first, last + 1)]
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def __call__(self, value: float) -> float:
        room = _HEIGHT - _TOP - _BOTTOM
        return _TOP + room * (self.high - value) / (self.high - self.low)

    def told(self, tick: float) -> str:
        return f"{tick:.0%}" if self.percent else _shown(abs(tick))


def _frame(
    title: str, scale: _Scale, marks: Iterator[Markup], names: Sequence[tuple[str, int]], width: float
) -> Markup:
    """Lines and names around marks that stand in columns of ``width``."""

    def around() -> Iterator[Markup]:
        for tick in scale.ticks:
            y = scale(tick)
            yield _line(_LEFT, y, _WIDTH - _RIGHT, y, "zero" if tick == 0 else "")
            yield _text(_LEFT - 8, y + 4, scale.told(tick), "end", kind="soft")
        every = max(1, -(-len(names) // _LABELS))
        for name, at in names:
            if (len(names) - 1 - at) % every == 0:
                # The last name ends with the plot, where there is no room beside it.
                edge = at == len(names) - 1 and width < _NARROW
                x = _WIDTH - _RIGHT if edge else _LEFT + (at + 0.5) * width
                yield _text(x, _HEIGHT - 6, name, "end" if edge else "middle", kind="soft")
        yield from marks

    return _svg(title, _HEIGHT, around())


def _svg(title: str, height: float, marks: Iterator[Markup]) -> Markup:
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, height, plain(title))
    return head + Markup("").join(marks) + Markup("</svg>")


def _rect(x: float, y: float, width: float, height: float, kind: str, told: str) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    ).format(kind, x, y, width, height, plain(told))


def _text(x: float, y: float, text: str, anchor: str, told: str = "", *, kind: str = "") -> Markup:
    inside = Markup("<title>{}</title>").format(plain(told)) if told and told != text else Markup("")
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}{}</text>').format(
        kind, x, y, anchor, plain(text), inside
    )


def _line(x: float, y: float, to_x: float, to_y: float, kind: str = "") -> Markup:
    return Markup('<path class="{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
        f"grid {kind}".strip(), x, y, to_x, to_y
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: float) -> str:
    return f"{value:,.0f}"
