"""Keys: texts and files read, refused with a reason, reloaded all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auth.keys import KeyRing, KeysError, generate_key_pair, key_file_source, mapping_source, parse_keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text("a: secret-a\nb: secret-b\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("devkey: secret", {"devkey": "secret"}),
        ("a: 1\nb: 2", {"a": "1", "b": "2"}),
        ("{a: x, b: y}", {"a": "x", "b": "y"}),
        ("a: 0123", {"a": "0123"}),
        ("a: true", {"a": "true"}),
        ("", {}),
    ],
)
def test_keys_are_read_as_texts(text: str, keys: dict[str, str]) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize(
    "text", ["devkey:topsecret", "- topsecret", "a: {b: topsecret}", "a:", "{topsecret", "? [x]\n: y"]
)
def test_other_texts_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(KeysError, match='LIVEKIT_KEYS must be "key: secret"') as refused:
        parse_keys(text, origin="LIVEKIT_KEYS")
    assert "topsecret" not in str(refused.value)


def test_file_is_read(key_file: Path) -> None:
    assert key_file_source(key_file)() == {"a": "secret-a", "b": "secret-b"}


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601])
def test_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeysError, match="open to others"):
        KeyRing(key_file_source(key_file))


def test_file_readable_by_the_group_is_fine(key_file: Path) -> None:
    key_file.chmod(0o640)
    assert KeyRing(key_file_source(key_file)).api_keys == ("a", "b")


def test_missing_and_binary_files_are_refused(key_file: Path) -> None:
    with pytest.raises(KeysError, match="cannot be read: No such file"):
        KeyRing(key_file_source(key_file.with_name("absent")))
    key_file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeysError, match="not UTF-8"):
        KeyRing(key_file_source(key_file))


def test_reload_is_all_or_nothing(key_file: Path) -> None:
    ring = KeyRing(mapping_source({"fixed": "f"}), key_file_source(key_file))
    key_file.write_text("a: new-secret\n")
    ring.reload()
    assert (ring.secret("a"), ring.secret("b"), ring.secret("fixed")) == ("new-secret", None, "f")
    key_file.write_text("broken")
    with pytest.raises(KeysError):
        ring.reload()
    assert ring.secret("a") == "new-secret"


def test_short_secrets_are_named() -> None:
    ring = KeyRing(mapping_source({"short": "s" * 31, "long": "l" * 32}))
    assert ring.short_secrets() == ("short",)


def test_generated_pairs_are_long_and_different() -> None:
    (key, secret), (other_key, other_secret) = generate_key_pair(), generate_key_pair()
    assert key.startswith("API")
    assert len(secret) == 43
    assert key != other_key
    assert secret != other_secret
