"""The master key: made once, private, well-formed, or refused in one line."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unsprawl.errors import ExitCode, StoreError
from unsprawl.secret import Keys
from unsprawl.store.keys import CONFIG_DIR_VARIABLE, key_path, load_keys

MASTER = bytes(range(1, 33))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "config"
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, str(place))
    return place


def put(content: bytes, mode: int = 0o600) -> Path:
    path = key_path()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_first_call_makes_a_private_key_and_later_ones_find_it(home: Path) -> None:
    keys = load_keys()
    assert load_keys() == keys
    assert key_path() == home / "key"
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [file.name for file in home.iterdir()] == ["key"], "no draft is left"


def test_two_users_have_different_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_keys()
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, str(tmp_path / "other"))
    assert load_keys().id != first.id


def test_first_runs_at_the_same_instant_agree_on_one_key() -> None:
    program = (
        "import sys; from unsprawl.store.keys import load_keys; import platformdirs;"
        " print(flush=True); sys.stdin.readline(); print(load_keys().id)"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children: list[Any] = [subprocess.Popen([sys.executable, "-c", program], **pipes) for _ in range(4)]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    ids = {child.communicate(timeout=60)[0].strip() for child in children}
    assert ids == {load_keys().id}


@pytest.mark.parametrize(
    "content",
    [
        MASTER.hex().encode(),
        MASTER.hex().upper().encode() + b"\n",
        base64.b64encode(MASTER),
        base64.urlsafe_b64encode(MASTER).rstrip(b"="),
    ],
    ids=["hex", "HEX", "base64", "url-safe base64 without padding"],
)
def test_a_key_may_be_written_as_hex_or_base64(content: bytes) -> None:
    put(content)
    assert load_keys() == Keys.derive(MASTER)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", MASTER.hex().encode()[:-2], base64.b64encode(MASTER + b"x"), b"\x00" * 32, b"00" * 32],
    ids=["empty", "a word", "31 bytes", "33 bytes", "raw bytes", "zeros"],
)
def test_what_is_no_key_is_refused_and_left_alone(content: bytes) -> None:
    path = put(content)
    with pytest.raises(StoreError, match=r"does not hold a key of 32 bytes|no key") as caught:
        load_keys()
    assert caught.value.exit_code is ExitCode.FAILED
    assert "openssl rand" in caught.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_reach_is_refused(mode: int) -> None:
    put(MASTER.hex().encode(), mode)
    with pytest.raises(StoreError, match=f"other users.*{mode:04o}") as caught:
        load_keys()
    assert "chmod 600" in caught.value.hint


def test_a_directory_where_others_could_swap_the_key_is_refused(home: Path) -> None:
    put(MASTER.hex().encode())
    home.chmod(0o777)
    with pytest.raises(StoreError, match="other users can write into") as caught:
        load_keys()
    assert "chmod 700" in caught.value.hint


def test_a_directory_in_the_place_of_the_key_is_refused(home: Path) -> None:
    (home / "key").mkdir(parents=True)
    with pytest.raises(StoreError, match="no regular file"):
        load_keys()


def test_a_configuration_directory_that_cannot_be_made_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, str(tmp_path / "file" / "below"))
    with pytest.raises(StoreError, match="key"):
        load_keys()


def test_without_leave_to_create_a_missing_key_is_an_error() -> None:
    with pytest.raises(StoreError, match=r"there is no key"):
        load_keys(create=False)
    assert not key_path().exists()


def test_a_referenced_key_is_used_and_none_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_STORE_KEY", MASTER.hex())
    assert load_keys("${ACME_STORE_KEY}") == Keys.derive(MASTER)
    assert not key_path().exists()


def test_a_reference_that_leads_nowhere_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="cannot be resolved") as caught:
        load_keys("${ACME_STORE_KEY_THAT_IS_NOT_SET}")
    assert caught.value.hint


def test_a_malformed_referenced_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_STORE_KEY", "hunter2hunter2")
    with pytest.raises(StoreError) as caught:
        load_keys("${ACME_STORE_KEY}")
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
