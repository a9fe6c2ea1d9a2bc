"""Where our defaults differ from livekit-server's: the README says each, and nothing else.

`reference_defaults.yaml` beside this file holds its defaults; when a newer version has others, that file is to follow.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sfu.config import Config, load
from sfu.config.load import documented_keys, has_effect

_README = Path(__file__).parents[3] / "README.md"
_REFERENCE = (Path(__file__).parent / "reference_defaults.yaml").read_text()
_OURS = "plenum."
_TUNING = (
    "rtc.congestion_control.remote_bwe",
    "rtc.congestion_control.send_side_bwe",
    "video.stream_tracker_manager",
    "metric.",
)
_ROW = re.compile(r"^\| `([\w.]+)` \| `(\S+)` \| `(\S+)` \| (.+) \|$", re.MULTILINE)
"""A line of the README's table: key, here, there, why."""


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        (attribute,) = (a for a, field in type(value).model_fields.items() if (field.alias or a) == name)
        value = getattr(value, attribute)
    return value


def _is_set(config: Config, key: str) -> bool:
    section, _, last = key.rpartition(".")
    inner = _value(config, section) if section else config
    return any(a in inner.model_fields_set for a, f in type(inner).model_fields.items() if (f.alias or a) == last)


def _differing(*, effect: bool) -> set[str]:
    here, there = load(), load(_REFERENCE)
    keys = [key for key, field in documented_keys() if has_effect(field) is effect]
    return {key for key in keys if _is_set(there, key) and _value(here, key) != _value(there, key)}


def test_the_table_holds_every_key_of_the_reference() -> None:
    there = load(_REFERENCE)
    missing = [key for key, _ in documented_keys() if not _is_set(there, key)]
    assert [key for key in missing if not key.startswith((_OURS, *_TUNING))] == []
    assert len(missing) < len(list(documented_keys())) / 4


def test_the_readme_names_each_default_that_differs() -> None:
    rows = {key: (here, there) for key, here, there, _ in _ROW.findall(_README.read_text())}
    assert set(rows) == _differing(effect=True)
    for key, (here, there) in rows.items():
        assert _value(load(flags={key: here}), key) == _value(load(), key), key
        assert _value(load(flags={key: there}), key) == _value(load(_REFERENCE), key), key


def test_a_key_without_effect_has_the_references_default() -> None:
    assert _differing(effect=False) == set()
