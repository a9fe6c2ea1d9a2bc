"""What a token's room configuration changes, and what it cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.control.registry import RoomOverrides, overrides_from_config
from sfu.room.settings import PlayoutDelay, RoomSettings


def test_overrides_change_what_they_name() -> None:
    settings = RoomOverrides(max_participants=3, metadata="m").applied_to(RoomSettings(empty_timeout_s=9))
    assert (settings.max_participants, settings.metadata, settings.empty_timeout_s) == (3, "m", 9)


def test_zero_means_the_default_as_on_the_wire() -> None:
    settings = RoomSettings(max_participants=5)
    assert RoomOverrides(max_participants=0, metadata="").applied_to(settings) is settings


@pytest.mark.parametrize("name", ["emptyTimeout", "empty_timeout"])
def test_both_spellings_of_protojson_are_read(name: str) -> None:
    overrides = overrides_from_config({name: 7, "metadata": "m"})
    assert overrides == RoomOverrides(empty_timeout_s=7, metadata="m")


@pytest.mark.parametrize("value", ["7", True, -1, 2**32, None, [7], 1.5])
def test_values_of_the_wrong_type_are_left_out(value: object) -> None:
    assert overrides_from_config({"maxParticipants": value, "metadata": 5}) == RoomOverrides()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"minPlayoutDelay": 100}, PlayoutDelay(100, 0)),
        ({"min_playout_delay": 100, "max_playout_delay": 200}, PlayoutDelay(100, 200)),
        ({"maxPlayoutDelay": 200}, PlayoutDelay(0, 200)),
        ({"minPlayoutDelay": 0}, None),
    ],
)
def test_a_playout_delay_of_zeros_is_none(said: dict[str, int], expected: PlayoutDelay | None) -> None:
    overrides = overrides_from_config(said)
    assert overrides is not None
    assert overrides.applied_to(RoomSettings()).playout_delay == expected


def test_no_configuration_is_none() -> None:
    assert overrides_from_config(None) is None
    assert overrides_from_config({}) is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.sampled_from(["emptyTimeout", "maxParticipants", "metadata", "agents"]), JSON))
def test_whatever_a_token_says_settings_stay_sound(config: dict[str, object]) -> None:
    overrides = overrides_from_config(config)
    settings = RoomSettings() if overrides is None else overrides.applied_to(RoomSettings())
    assert isinstance(settings.empty_timeout_s, int)
    assert isinstance(settings.metadata, str)
