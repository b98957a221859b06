"""A body that is put together from broken connections is the body."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.crawlers import ranges
from unsprawl.crawlers.ahead import ahead
from unsprawl.crawlers.ranges import ResumingFile
from unsprawl.errors import RetryableError, UnreadableError


class Line:
    """A connection that carries ``length`` bytes, then ends or breaks."""

    def __init__(self, data: bytes, length: int, error: type[Exception] | None) -> None:
        self.data = BytesIO(data[:length])
        self.error = error
        self.closed = False

    def read(self, size: int, /) -> bytes:
        data = self.data.read(size)
        if not data and self.error:
            raise self.error
        return data

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "PAUSE", 0)


@given(
    st.binary(max_size=2000),
    st.integers(0, 2000),
    st.lists(st.tuples(st.integers(1, 700), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 900),
)
def test_any_breaks_give_the_same_bytes(
    body: bytes, offset: int, breaks: list[tuple[int, bool]], step: int
) -> None:
    offset = min(offset, len(body))
    lines: list[Line] = []

    def connect(position: int) -> Line:
        length, silent = breaks[len(lines) % len(breaks)]
        lines.append(Line(body[position:], length, None if silent else ConnectionResetError))
        return lines[-1]

    with ResumingFile(connect, offset, len(body), dropped=(OSError,)) as file:
        pieces = list(iter(lambda: file.read(step), b""))
        assert file.tell() == len(body)
    assert b"".join(pieces) == body[offset:]
    assert all(line.closed for line in lines)


def test_a_line_that_never_brings_anything_is_given_up() -> None:
    asked: list[int] = []

    def connect(position: int) -> Line:
        asked.append(position)
        return Line(b"x" * 10, 10 if position == 0 else 0, ConnectionResetError)

    with ResumingFile(connect, 0, 20, dropped=(OSError,)) as file:
        assert file.read(20) == b"x" * 10
        with pytest.raises(RetryableError, match="at last at byte 10 of 20"):
            file.read(20)
    assert asked == [0, 10, 10, 10, 10, 10]


def test_a_server_that_drips_cannot_hold_us_for_ever() -> None:
    with (
        ResumingFile(lambda _: Line(b"x", 1, None), 0, 1 << 40, dropped=(OSError,)) as file,
        pytest.raises(RetryableError, match="broke 201 times"),
    ):
        file.readall()


def test_a_refusal_to_reconnect_is_passed_on() -> None:
    def connect(position: int) -> Line:
        if position:
            raise UnreadableError("changed while it was read")
        return Line(b"abc", 3, None)

    with ResumingFile(connect, 0, 6, dropped=(OSError,)) as file:
        assert file.read(6) == b"abc"
        with pytest.raises(UnreadableError, match="changed"):
            file.read(6)


def test_nothing_behind_the_end_is_read() -> None:
    with ResumingFile(lambda _: Line(b"abcdef", 6, None), 0, 4, dropped=(OSError,)) as file:
        assert file.readall() == b"abcd"


@given(st.lists(st.integers(0, 30), max_size=40))
def test_fetching_ahead_keeps_the_order_and_the_budget(sizes: list[int]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    taken = 0
    fetched: list[int] = []

    def fetch(index: int) -> int:
        fetched.append(index)
        return index

    with ThreadPoolExecutor(4) as pool:
        items = ahead(pool, range(len(sizes)), fetch, sizes.__getitem__, largest=20, most=5, budget=50)
        for expected, (item, result) in enumerate(items):
            begun = set(fetched) - set(range(expected))
            assert len(begun) <= 5
            assert sum(sizes[index] for index in begun) <= 50
            assert (item, result()) == (expected, expected)
            taken += 1
    assert taken == len(sizes)
    assert sorted(fetched) == list(range(len(sizes)))
