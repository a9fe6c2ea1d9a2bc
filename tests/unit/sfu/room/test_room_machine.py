"""Random lives of a room: the ledger checks every effect, and what clients believe must become the truth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sfu.ids import TrackSid, UpTrackId
from sfu.room import inputs, messages
from sfu.room.enums import (
    ConnectionQuality,
    DisconnectReason,
    ParticipantState,
    Scenario,
    TrackSource,
    TrackType,
    VideoQuality,
)
from sfu.room.layers import quality_of
from sfu.room.room import RoomSettings
from sfu.room.views import PermissionView
from tests.unit.sfu.room.conftest import Client, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.room.participant import Participant
    from sfu.room.views import ParticipantView

_NAMES = st.sampled_from(["alice", "bob", "carol", "dave"])
_SOURCES = st.sampled_from([TrackSource.MICROPHONE, TrackSource.CAMERA, TrackSource.SCREEN_SHARE])
_MAYBE = st.booleans()
_PICK = st.integers(0, 1 << 16)


_CODECS = (inputs.CodecOffered("vp9"), inputs.CodecOffered("vp8"), inputs.CodecOffered("h264"))
_DECODES = (("video/VP8",), ("video/H264",), ("video/VP9", "video/VP8"), ("video/AV1",))


class RoomMachine(RuleBasedStateMachine):
    """Clients that do what clients can do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(RoomSettings(update_burst=2, max_participants=3, max_pending_tracks=4))
        self.clients: dict[str, Client] = {}
        self.cids = 0

    # ------------------------------------------------------------ clients

    @rule(
        name=_NAMES,
        single=_MAYBE,
        hidden=_MAYBE,
        kind=st.sampled_from(["standard", "standard", "agent", "egress"]),
        can_subscribe=st.sampled_from([None, False]),
        auto_subscribe=_MAYBE,
        auto_subscribe_data=_MAYBE,
        protocol=st.sampled_from([2, 11, 16]),
    )
    def join(self, name: str, single: bool, **options: Any) -> None:
        client = self.stage.try_join(name, single_peer_connection=single, can_update_own_metadata=True, **options)
        if client.joined is not None:
            self.clients[name] = client

    @rule(pick=_PICK, how=st.sampled_from(["leave", "lose", "fail", "closed", "refused", "broke"]))
    def go(self, pick: int, how: str) -> None:
        client = self._one(pick)
        if client is None:
            return
        transport = list(client.transports.values())[pick % len(client.transports)]
        if how == "leave":
            client.leave()
        elif how == "lose" and client.session in self.stage.ledger.sessions:
            client.lose()
        elif how == "fail":
            self.stage.do(inputs.TransportFailed(transport, "ice_timeout"))
        elif how == "closed":
            self.stage.do(inputs.TransportFailed(transport, "closed_by_peer"))
        elif how == "refused":
            self.stage.do(inputs.NegotiationFailed(transport, "no"))
        elif how == "broke":
            if client.session not in self.stage.room._state.by_session:  # it is coming back: its sink is gone first
                self.stage.ledger.sessions.discard(client.session)
            self.stage.do(inputs.SessionFailed(client.session, DisconnectReason.STATE_MISMATCH))

    @rule(pick=_PICK, handle=st.integers(0, 3), name=st.sampled_from(["", "pose", "map"]), gone=_MAYBE)
    def publish_data(self, pick: int, handle: int, name: str, gone: bool) -> None:
        client = self._one(pick)
        if client is None:
            return
        if gone:
            self.stage.do(inputs.UnpublishDataTrack(client.session, handle))
        else:
            self.stage.do(inputs.PublishDataTrack(client.session, handle, name))

    @rule(pick=_PICK, times=st.sampled_from([1, 20]))
    def change(self, pick: int, times: int) -> None:
        """More of them at once than are told at once."""
        client = self._one(pick)
        if client is not None:
            for _ in range(times):
                self.cids += 1
                self.stage.do(inputs.UpdateOwnMetadata(client.session, metadata=f"m{self.cids}"))

    @rule(pick=_PICK, subscribe=_MAYBE, fps=st.sampled_from([None, 5]))
    def want_data(self, pick: int, subscribe: bool, fps: int | None) -> None:
        client = self._one(pick)
        if client is not None:
            sids = self.stage.room._state.data_publications
            wishes = tuple(inputs.DataSubscriptionWish(sid, subscribe, fps) for sid in sids)
            self.stage.do(inputs.UpdateDataSubscription(client.session, wishes))

    @invariant()
    def handles_in_use_were_told(self) -> None:
        for known, bound in self._handles():
            assert bound.items() <= known.items(), "of some that are gone it may hear a little later"

    def _handles(self) -> Iterator[tuple[dict[int, TrackSid], dict[int, TrackSid]]]:
        """What each client knows, and what the engine uses."""
        for client in self.clients.values():
            participant = self.stage.room._state.by_session.get(client.session)
            told = [m for m in self.stage.sent[client.session] if isinstance(m, messages.DataTrackHandles)]
            if participant is None:
                continue
            bound = {
                e.handle: sid
                for sid, s in participant.data_subscriptions.items()
                for e in self.stage.ledger.data_down_tracks.values()
                if e.data_down_track == s.down_track
            }
            yield ({handle: track.track_sid for handle, track in told[-1].handles.items()} if told else {}), bound

    @rule(pick=_PICK)
    def resume(self, pick: int) -> None:
        """Also of one that was removed: then it fails."""
        client = self._one(pick)
        if client is not None:
            self.clients[client.identity] = client.resume()

    @rule(pick=_PICK, how=st.sampled_from(["", "lose", "leave", "fail"]))
    def come_back(self, pick: int, how: str) -> None:
        """A resume for which the engine's word is still to come, and which may not live that long."""
        client = self._one(pick)
        if client is None:
            return
        waiting = client.resume(answered=False)
        if how == "lose" and waiting.session in self.stage.ledger.sessions:
            waiting.lose()
        elif how == "leave":
            waiting.leave()
        elif how == "fail":
            self.stage.ledger.sessions.discard(waiting.session)  # its sink is gone before the room hears of it
            self.stage.do(inputs.SessionFailed(waiting.session, DisconnectReason.STATE_MISMATCH))
        else:
            self.clients[client.identity] = waiting

    @rule(pick=_PICK)
    def answer(self, pick: int) -> None:
        """The engine's word on a resume; it may also come too late."""
        participants = list(self.stage.room._state.participants)
        if participants:
            self.stage.do(inputs.LastSequenceKnown(participants[pick % len(participants)], 7))

    @rule(pick=_PICK, disabled=_MAYBE, subscribe=_MAYBE)
    def synchronise(self, pick: int, disabled: bool, subscribe: bool) -> None:
        client, sids = self._one(pick), (self._sid(pick), self._sid(pick + 1))
        if client is not None:
            own = [view for update in client.told_of(client.identity) for view in update.tracks]
            published = tuple(track.sid for track in own[:1])
            self.stage.do(inputs.SyncState(client.session, published, sids, subscribe, sids if disabled else ()))

    @rule(pick=_PICK)
    def connect(self, pick: int) -> None:
        client = self._one(pick)
        if client is not None:
            for transport in client.transports.values():
                self.stage.do(inputs.TransportConnected(transport))

    # ------------------------------------------------------------ tracks

    @rule(pick=_PICK, source=_SOURCES)
    def publish(self, pick: int, source: TrackSource) -> None:
        """Announces and offers, as most clients do; some of it may be refused."""
        client = self._one(pick)
        if client is not None:
            self.cids += 1
            cid = f"cid{self.cids}"
            video = source is not TrackSource.MICROPHONE
            client.try_announce(cid, source, codecs=_CODECS if video else (), backup_codec_policy=pick % 3)
            client.add_line(cid, TrackType.AUDIO if source is TrackSource.MICROPHONE else TrackType.VIDEO)
            client.offer()

    @rule(pick=_PICK, offered=_MAYBE)
    def back(self, pick: int, offered: bool) -> None:
        """Publishes a live track in another codec, too; some of it may be refused."""
        client, sid = self._one(pick), self._sid(pick)
        if client is not None:
            self.cids += 1
            cid = f"cid{self.cids}"
            codecs = (inputs.CodecOffered(("vp8", "h264", "av1")[pick % 3], cid),)
            client.try_announce(cid, TrackSource.CAMERA, sid=sid, codecs=codecs)
            if offered:
                client.add_line(cid, TrackType.VIDEO)
                client.offer()

    @rule(pick=_PICK, source=_SOURCES, again=_MAYBE, muted=_MAYBE)
    def announce(self, pick: int, source: TrackSource, again: bool, muted: bool) -> None:
        client = self._one(pick)
        if client is not None:
            self.cids += not again
            client.try_announce(f"cid{self.cids}", source, muted=muted)

    @rule(pick=_PICK, change=st.sampled_from(["none", "add", "rewritten", "stop", "resume", "reassign"]))
    def offer(self, pick: int, change: str) -> None:
        client = self._one(pick)
        if client is None:
            return
        announced = client.got(messages.TrackPublished)
        if change in ("add", "rewritten") and announced:
            newest = announced[pick % len(announced)]
            track_id = newest.cid if change == "add" else f"{{{pick}}}"
            client.add_line(track_id, TrackType(newest.track.type))
        elif client.lines:
            line = client.lines[pick % len(client.lines)]
            if change in ("stop", "resume"):
                client.change_line(line.mid, sends=change == "resume")
            elif change == "reassign" and announced:
                client.change_line(line.mid, track_id=announced[-1].cid)
        client.offer()

    @rule(pick=_PICK, muted=_MAYBE, by_server=_MAYBE)
    def mute(self, pick: int, muted: bool, by_server: bool) -> None:
        client, sid = self._one(pick), self._sid(pick)
        if client is None:
            return
        if by_server:
            self.stage.ask(lambda request: inputs.MutePublishedTrack(request, client.identity, sid, muted))
        else:
            self.stage.do(inputs.MuteOwnTrack(client.session, sid, muted))

    @rule(pick=_PICK, subscribe=_MAYBE)
    def wish(self, pick: int, subscribe: bool) -> None:
        client = self._one(pick)
        if client is not None:
            sids = (self._sid(pick), self._sid(pick + 1))
            self.stage.do(inputs.UpdateSubscription(client.session, sids, subscribe))

    @rule(pick=_PICK, disabled=_MAYBE, quality=st.sampled_from(VideoQuality), size=st.sampled_from([0, 1, 1 << 31]))
    def configure(self, pick: int, disabled: bool, quality: VideoQuality, size: int) -> None:
        client, sids = self._one(pick), (self._sid(pick),)
        if client is not None:
            self.stage.do(inputs.UpdateTrackSettings(client.session, sids, disabled, quality, size, size, size))

    @rule(pick=_PICK, scenario=st.sampled_from(Scenario), value=st.sampled_from([-1, 0, 1, 1 << 31]))
    def simulate(self, pick: int, scenario: Scenario, value: int) -> None:
        client = self._one(pick)
        if client is not None:
            self.stage.do(inputs.Simulate(client.session, scenario, value))

    @rule(pick=_PICK, everybody=_MAYBE, name=_NAMES, all_tracks=_MAYBE)
    def restrict(self, pick: int, everybody: bool, name: str, all_tracks: bool) -> None:
        client = self._one(pick)
        if client is not None:
            sids = (self._sid(pick),)
            permission = inputs.TrackPermission(participant_identity=name, all_tracks=all_tracks, track_sids=sids)
            self.stage.do(inputs.SetSubscriptionPermission(client.session, everybody, (permission,)))

    @rule(pick=_PICK, how=st.sampled_from(["unsupported", "refused", "bound"]))
    def negotiate(self, pick: int, how: str) -> None:
        down_tracks = list(self.stage.ledger.down_tracks)
        down_track = down_tracks[pick % len(down_tracks)] if down_tracks else None
        if down_track is not None:
            self.stage.do(inputs.DownTrackPaused(down_track, paused=pick % 3 == 0))
        if down_track is not None and how == "unsupported":
            up_track = self.stage.ledger.down_tracks[down_track][1]
            self.stage.do(inputs.DownTrackCodecUnsupported(down_track, UpTrackId(up_track)))
        elif down_track is not None and how == "refused":
            self.stage.do(inputs.DownTrackCodecUnsupported(down_track))
        elif down_track is not None and pick % 2:
            self.stage.do(inputs.DownTrackBound(down_track, _DECODES[pick % len(_DECODES)]))
        else:
            self.stage.bind_all()

    @rule(pick=_PICK, mime_type=st.sampled_from(["video/VP8", "video/VP9", "audio/opus"]))
    def start(self, pick: int, mime_type: str) -> None:
        up_tracks = list(self.stage.room._state.up_tracks)
        if up_tracks:
            self.stage.do(inputs.UpTrackStarted(up_tracks[pick % len(up_tracks)], mime_type))

    @rule(loud=_MAYBE)
    def hear(self, loud: bool) -> None:
        up_tracks = list(self.stage.room._state.up_tracks) if loud else []
        levels = tuple(inputs.AudioActivity(up_track, 10, 400) for up_track in up_tracks)
        self.stage.do(inputs.AudioLevelsMeasured(levels))

    @rule(quality=st.sampled_from(ConnectionQuality))
    def rate(self, quality: ConnectionQuality) -> None:
        participants = list(self.stage.room._state.participants)
        ratings = tuple(inputs.QualityRating(participant, quality, 2.5) for participant in participants)
        self.stage.do(inputs.QualityChanged(ratings))

    # ------------------------------------------------------------ administrators and time

    @rule(
        name=_NAMES,
        permission=st.builds(
            PermissionView, can_subscribe=_MAYBE, can_publish=_MAYBE, hidden=_MAYBE, recorder=_MAYBE, agent=_MAYBE
        ),
        attributes=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1"])),
    )
    def permit(self, name: str, permission: PermissionView, attributes: dict[str, str]) -> None:
        def make(request: inputs.RequestId) -> inputs.RoomInput:  # type: ignore[name-defined]
            return inputs.UpdateParticipant(request, name, permission=permission, attributes=attributes)

        self.stage.ask(make)

    @rule(name=_NAMES)
    def remove(self, name: str) -> None:
        self.stage.ask(lambda request: inputs.RemoveParticipant(request, name))

    @rule(seconds=st.sampled_from([0.1, 2.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.stage.wait(seconds)

    @precondition(lambda self: self.clients)
    @rule()
    def settle(self) -> None:
        """Once everything gathered was told, each client believes what is true."""
        self.stage.wait(6)
        for known, bound in self._handles():
            assert known == bound
        participants = self.stage.room._state.participants.values()
        for client in self.clients.values():
            if client.session in self.stage.ledger.sessions:
                truth = {p.identity: p.view() for p in participants if not p.hidden and p.identity != client.identity}
                assert _believed(client) == truth

    # ------------------------------------------------------------ what always holds

    @invariant()
    def the_ledger_and_the_room_agree(self) -> None:
        state, ledger = self.stage.room._state, self.stage.ledger
        assert not ledger.questions
        assert set(ledger.participants) == set(state.participants)
        waiting = {resume.session for resume in state.returning.values()}
        assert ledger.sessions == set(state.by_session) | waiting
        assert ledger.up_tracks == set(state.up_tracks)
        assert set(ledger.down_tracks) == set(state.down_tracks)
        assert set(state.by_transport) <= ledger.transports

    @invariant()
    def the_counts_are_right(self) -> None:
        participants = self.stage.room._state.participants.values()
        view = self.stage.room.view()
        assert view.num_participants == sum(not p.dependent for p in participants)
        assert view.num_publishers == sum(p.is_publisher and not p.dependent for p in participants)
        assert view.active_recording == any(p.recording for p in participants)

    @invariant()
    def forwarded_is_what_is_wanted_and_granted(self) -> None:
        state = self.stage.room._state
        for participant in state.participants.values():
            for sid, subscription in participant.subscriptions.items():
                publication = state.publications.get(sid)
                assert subscription.publication is publication
                assert (subscription.down_track is not None) == _is_due(participant, subscription)

    @invariant()
    def bound_tracks_are_counted(self) -> None:
        state = self.stage.room._state
        bound = Counter((s.subscriber.id, s.publication.type) for s in state.down_tracks.values() if s.publication)
        counted = {(p.id, kind): n for p in state.participants.values() for kind, n in p.bound_tracks.items() if n}
        assert counted == bound

    @invariant()
    def watchers_are_counted(self) -> None:
        for publication in self.stage.room._state.publications.values():
            if publication.type is TrackType.VIDEO:
                watching = [s for s in publication.subscriptions.values() if s.down_track is not None and s.enabled]
                for codec in publication.codecs:
                    gets = Counter(
                        quality_of(s.layered_view(publication), s.limit()) for s in watching if s.codec is codec
                    )
                    assert +codec.watchers == gets

    @invariant()
    def everybody_is_fed_by_a_codec_that_it_takes(self) -> None:
        state = self.stage.room._state
        for subscription in state.down_tracks.values():
            publication, codec = subscription.publication, subscription.codec
            assert publication is not None
            assert codec in publication.codecs
            assert subscription.takes(codec)
            assert subscription.down_track is not None
            assert self.stage.ledger.down_tracks[subscription.down_track][1] == codec.up_track

    @invariant()
    def the_wire_sees_the_codecs_as_they_are(self) -> None:
        for publication in self.stage.room._state.publications.values():
            told = [(view.mime_type, view.mid) for view in publication.view.codecs]
            assert told == [(codec.mime_type, codec.mid) for codec in publication.codecs]

    @invariant()
    def a_client_id_has_one_live_track(self) -> None:
        for participant in self.stage.room._state.participants.values():
            live = (codec for publication in participant.publications.values() for codec in publication.live_codecs())
            mids = [codec.mid for codec in live]
            assert len(mids) == len(set(mids))

    # ------------------------------------------------------------ choice

    def _one(self, pick: int) -> Client | None:
        """A living client, or now and then one whose session is dead."""
        clients = [self.clients[name] for name in sorted(self.clients)]
        living = [client for client in clients if client.session in self.stage.ledger.sessions]
        among = living if living and pick % 8 else clients
        return among[pick % len(among)] if among else None

    def _sid(self, pick: int) -> TrackSid:
        sids = sorted(self.stage.room._state.publications)
        return sids[pick % len(sids)] if sids else TrackSid("TR_unknown")


def _is_due(participant: Participant, subscription: Any) -> bool:
    publication = subscription.publication
    if publication is None or participant.transports.subscriber is None:
        return False
    owner = publication.owner
    allowed = participant.recording or owner.allowance.allows(participant.identity, participant.sid, publication.sid)
    wanted = subscription.desired and not subscription.codec_unsupported and participant.permission.can_subscribe
    return bool(allowed and wanted and not owner.hidden)


def _believed(client: Client) -> dict[str, ParticipantView]:
    """The others as a client's SDK keeps them."""
    assert client.joined is not None
    known = {view.identity: view for view in client.joined.other_participants}
    said = [message for session in (*client.earlier, client.session) for message in client.stage.sent[session]]
    for update in said:
        for view in update.participants if isinstance(update, messages.ParticipantUpdate) else ():
            before = known.get(view.identity)
            if view.state is ParticipantState.DISCONNECTED:
                known.pop(view.identity, None)
            elif before is None or before.sid != view.sid or before.version <= view.version:
                known[view.identity] = view
    known.pop(client.identity, None)
    return known


TestRoomMachine = RoomMachine.TestCase
TestRoomMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
