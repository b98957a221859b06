"""Values: what they hide wherever they are printed, and that msgspec is loaded whoever comes first."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from batches import occurrence
from rich.pretty import pretty_repr

from unsprawl.records import Document, Unit, Verdict
from unsprawl.secret import Keys
from unsprawl.structs import Guarded, replace

HIDDEN = "hush-hush"


SEEN = occurrence(1, "a", sealed=HIDDEN.encode(), clear=HIDDEN, clear_context=HIDDEN, vector=HIDDEN.encode())


@pytest.mark.parametrize(
    "value",
    [
        Unit("a", data={"key": HIDDEN}),
        Document(uri="a", body=b"", member_attrs=lambda path: {path: HIDDEN}),
        Verdict(0.5, vector=HIDDEN.encode()),
        SEEN,
        Keys("id", *[HIDDEN.encode()] * 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_log_may_show_is_printed_nowhere(value: Guarded) -> None:
    for text in (repr(value), str(value), f"{value}", pretty_repr(value)):
        assert text.startswith(f"{type(value).__name__}(")
        assert f"{value.__struct_fields__[0]}=" in text
        assert HIDDEN not in text
        assert not any(f"{name}=" in text for name in value.unseen)


def test_what_is_hidden_counts_and_travels() -> None:
    one = Unit("a", data={"key": HIDDEN})
    assert pickle.loads(pickle.dumps(one)) == one
    assert pickle.loads(pickle.dumps(one)).data == {"key": HIDDEN}
    assert replace(one, data={}) != one
    assert pickle.loads(pickle.dumps(SEEN)) == SEEN


@pytest.mark.parametrize("before", ["", "import msgspec;", "import typing_extensions;"])
def test_whoever_comes_first_everybody_is_served(before: str) -> None:
    late = "import sys; loaded = 'typing_extensions' in sys.modules; import typing_extensions"
    code = f"{before}import unsprawl.records; {late}; print(loaded)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(bool(before))
