"""Who speaks, and how loudly (protocol.md §4.8).

Owns smoothing, quantising and the deltas. Never sees packets: the engine measures RFC 6464 levels per interval.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sfu.room.effects import Send
from sfu.room.enums import TrackSource
from sfu.room.messages import SpeakersChanged, SpeakerView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.ids import ParticipantId, SessionId
    from sfu.room.inputs import AudioActivity
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication
    from sfu.room.settings import SpeakerSettings
    from sfu.room.state import RoomState
    from sfu.room.subscription import Subscription

__all__ = ["Speakers", "linear_level"]

_STEPS = 8
"""Levels are told in eighths: finer steps would be told at every interval."""


def linear_level(level: int, active_ms: int, settings: SpeakerSettings) -> float:
    """Loudness of one interval, 0 to 1; 0 when too little of it was active.

    `level` is −dBov of the loudest packet; the share of the interval that was active weighs it down.
    """
    share = min(1.0, active_ms / max(1, settings.update_interval_ms))
    if share <= 0 or share * 100 < settings.min_percentile:
        return 0.0
    decibel = level - 20 * math.log10(share)
    return min(1.0, 10 ** (-decibel / 20))


class Speakers:
    """The active speakers of a room; only microphones count."""

    def __init__(self, state: RoomState) -> None:
        self._state = state
        self._smoothed: dict[ParticipantId, float] = {}
        self._told: dict[ParticipantId, float] = {}
        """Level as told last; those that fell silent are not in it."""

    def measured(self, levels: Sequence[AudioActivity]) -> None:
        """One interval; whoever is not in it was silent."""
        loudness = self._loudness(levels)
        factor = 2 / (max(1, self._state.settings.speakers.smooth_intervals) + 1)
        for participant in [*self._smoothed, *(p for p in loudness if p not in self._smoothed)]:
            level = loudness.get(participant, 0.0)
            if level > 0:
                before = self._smoothed.get(participant, 0.0)
                self._smoothed[participant] = before + (level - before) * factor
            else:
                self._smoothed.pop(participant, None)
        self._tell_changes()

    def microphone_stopped(self, publication: Publication) -> None:
        """A microphone was muted or is about to end: its owner is silent at once, unless another one is open."""
        owner = publication.owner
        microphones = (p for p in owner.publications.values() if p is not publication and _is_open(p))
        if publication.view.source is TrackSource.MICROPHONE and not any(microphones):
            self._smoothed.pop(owner.id, None)
            self._tell_changes()

    def tell_newcomer(self, subscription: Subscription) -> None:
        """A subscriber that hears an active speaker from now on learns of it at once, not at the next change."""
        publication = subscription.publication
        if publication is None or publication.view.source is not TrackSource.MICROPHONE:
            return
        level = self._told.get(publication.owner.id)
        if level is not None:
            speaker = SpeakerView(publication.owner.sid, level, active=True)
            self._state.send((subscription.subscriber,), SpeakersChanged((speaker,)))

    def tell_returned(self, subscriber: Participant) -> None:
        """One that was away learns of all that it hears who speaks and who does not."""
        heard = {subscriber.id: subscriber} if any(map(_is_open, subscriber.publications.values())) else {}
        for subscription in subscriber.subscriptions.values():
            publication = subscription.publication
            if publication is not None and subscription.bound and publication.view.source is TrackSource.MICROPHONE:
                heard[publication.owner.id] = publication.owner
        levels = {owner: self._told.get(owner, 0.0) for owner in sorted(heard, key=lambda o: -self._told.get(o, 0.0))}
        if levels:
            speakers = tuple(SpeakerView(heard[owner].sid, level, level > 0) for owner, level in levels.items())
            self._state.send((subscriber,), SpeakersChanged(speakers))

    def _loudness(self, levels: Sequence[AudioActivity]) -> dict[ParticipantId, float]:
        loudest: dict[ParticipantId, float] = {}
        for activity in levels:
            publication = self._state.up_tracks.get(activity.up_track)
            if publication is None or not _is_open(publication):
                continue
            level = linear_level(activity.level, activity.active_ms, self._state.settings.speakers)
            owner = publication.owner.id
            loudest[owner] = max(level, loudest.get(owner, 0.0))
        return loudest

    def _tell_changes(self) -> None:
        current = {
            participant: math.ceil(level * _STEPS) / _STEPS
            for participant, level in self._smoothed.items()
            if level > 0
        }
        changed = [p for p in {**current, **self._told} if current.get(p) != self._told.get(p)]
        self._told = current
        if changed:
            self._send(sorted(changed, key=lambda p: -current.get(p, 0.0)), current)

    def _send(self, changed: Sequence[ParticipantId], current: dict[ParticipantId, float]) -> None:
        """To each the changes of those whom it hears; those who hear the same share one message."""
        heard: dict[SessionId, list[SpeakerView]] = {}
        for participant_id in changed:
            speaker = self._state.participants.get(participant_id)
            if speaker is None or speaker.hidden:
                continue
            level = current.get(participant_id, 0.0)
            view = SpeakerView(speaker.sid, level, active=level > 0)
            for session in _audience(speaker):
                heard.setdefault(session, []).append(view)
        groups: dict[tuple[SpeakerView, ...], list[SessionId]] = {}
        for session, views in heard.items():
            groups.setdefault(tuple(views), []).append(session)
        for speakers, sessions in groups.items():
            self._state.emit(Send(tuple(sessions), SpeakersChanged(speakers)))


def _is_open(publication: Publication) -> bool:
    return publication.view.source is TrackSource.MICROPHONE and not publication.view.muted


def _audience(speaker: Participant) -> dict[SessionId, None]:
    """The speaker itself and all that have one of its microphones, each once."""
    sessions = dict.fromkeys(speaker.session_ids())
    for publication in speaker.publications.values():
        if publication.view.source is not TrackSource.MICROPHONE:
            continue
        for subscription in publication.subscriptions.values():
            if subscription.bound:
                sessions.update(dict.fromkeys(subscription.subscriber.session_ids()))
    return sessions
