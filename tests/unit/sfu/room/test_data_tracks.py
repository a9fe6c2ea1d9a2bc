"""Data tracks and data blobs in the room (protocol.md §2.11): who publishes, who gets, who may, what a return finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import RequestId, TrackSid
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import DisconnectReason, RequestReason
from sfu.room.settings import DataSettings
from sfu.room.views import BlobKeyView, DataTrackView, EncodingView, PermissionView, SchemaView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Client, Stage


def publish(client: Client, handle: int = 1, name: str = "pose", **fields: Any) -> DataTrackView:
    """A data track, accepted."""
    client.stage.do(inputs.PublishDataTrack(client.session, handle, name, **fields))
    return client.got(messages.DataTrackPublished)[-1].track


def refusal(client: Client, request: inputs.RoomInput) -> RequestReason:
    """Why a request was not carried out."""
    before = len(client.got(messages.RequestResponse))
    client.stage.do(request)
    (answer,) = client.got(messages.RequestResponse)[before:]
    return answer.reason


def want(client: Client, *tracks: DataTrackView, subscribe: bool = True, fps: int | None = None) -> list[fx.Effect]:
    """`update_data_subscription`."""
    wishes = tuple(inputs.DataSubscriptionWish(track.sid, subscribe, fps) for track in tracks)
    return client.stage.do(inputs.UpdateDataSubscription(client.session, wishes))


def handles(client: Client) -> dict[TrackSid, int]:
    """The handles that it was told last, once all that was gathered is told."""
    client.stage.wait(1)
    told = client.got(messages.DataTrackHandles)[-1].handles
    return {track.track_sid: handle for handle, track in told.items()}


def permit(stage: Stage, identity: str, **changes: Any) -> None:
    permission = PermissionView(**changes)
    stage.ask(lambda request: inputs.UpdateParticipant(RequestId(request), identity, permission=permission))


def test_a_data_track_is_answered_told_and_live_at_once(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    schema = SchemaView("pose", EncodingView(custom="proto"))
    track = publish(alice, 7, encryption=1, frame_encoding=EncodingView(well_known=2), schema=schema)
    assert track.sid.startswith("DTR_")
    assert (track.handle, track.name, track.encryption, track.schema) == (7, "pose", 1, schema)
    assert bob.told_of("alice")[-1].data_tracks == (track,)
    assert bob.told_of("alice")[-1].is_publisher
    (up,) = stage.ledger.data_up_tracks.values()
    assert up.handle == 7
    late = stage.join("late")
    assert late.joined is not None
    assert {view.identity: view.data_tracks for view in late.joined.other_participants} == {
        "alice": (track,),
        "bob": (),
    }
    assert not stage.ledger.data_down_tracks, "nobody asked for it"
    stage.do(inputs.UnpublishDataTrack(alice.session, 7))
    assert alice.got(messages.DataTrackUnpublished) == [messages.DataTrackUnpublished(track)]
    assert bob.told_of("alice")[-1].data_tracks == ()
    assert not stage.ledger.data_up_tracks
    assert refusal(alice, inputs.UnpublishDataTrack(alice.session, 7)) is RequestReason.NOT_FOUND


@pytest.mark.parametrize(
    ("handle", "name", "fields", "reason"),
    [
        (0, "x", {}, RequestReason.INVALID_HANDLE),
        (65_536, "x", {}, RequestReason.INVALID_HANDLE),
        (2, "", {}, RequestReason.INVALID_NAME),
        (2, "ä" * 129, {}, RequestReason.INVALID_NAME),
        (2, "x", {"frame_encoding": EncodingView(custom="")}, RequestReason.INVALID_REQUEST),
        (2, "x", {"frame_encoding": EncodingView(custom="e" * 33)}, RequestReason.INVALID_REQUEST),
        (2, "x", {"schema": SchemaView("s", EncodingView(custom="e" * 33))}, RequestReason.INVALID_REQUEST),
        (2, "x", {"schema": SchemaView("s" * 257)}, RequestReason.INVALID_REQUEST),
        (1, "x", {}, RequestReason.DUPLICATE_HANDLE),
        (2, "pose", {}, RequestReason.DUPLICATE_NAME),
        (65_535, "ä" * 128, {"frame_encoding": EncodingView(custom="e" * 32)}, None),
    ],
)
def test_requests_are_checked(
    stage: Stage, handle: int, name: str, fields: dict[str, Any], reason: RequestReason | None
) -> None:
    alice = stage.active("alice")
    publish(alice)
    request = inputs.PublishDataTrack(alice.session, handle, name, **fields)
    if reason is None:
        assert publish(alice, handle, name, **fields).handle == handle
    else:
        assert refusal(alice, request) is reason


def test_who_may_not_publish_data_publishes_none(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(data=DataSettings(max_tracks=1))
    mute = stage.active("mute", can_publish_data=False)
    assert refusal(mute, inputs.PublishDataTrack(mute.session, 1, "x")) is RequestReason.NOT_ALLOWED
    alice = stage.active("alice")
    publish(alice)
    assert refusal(alice, inputs.PublishDataTrack(alice.session, 2, "x")) is RequestReason.LIMIT_EXCEEDED
    off = stage_with(data=DataSettings(tracks_enabled=False)).active("alice")
    assert refusal(off, inputs.PublishDataTrack(off.session, 1, "x")) is RequestReason.NOT_ALLOWED


def test_handles_are_the_subscribers_own_and_not_used_again_soon(stage: Stage) -> None:
    alice, bob, carol = (stage.active(name) for name in ("alice", "bob", "carol"))
    tracks = [publish(alice, 1), publish(bob, 1)]
    effects = want(carol, *tracks)
    kinds = [type(effect) for effect in effects if isinstance(effect, fx.AddDataDownTrack) or _is_handles(effect)]
    assert kinds == [fx.Send, fx.AddDataDownTrack, fx.AddDataDownTrack], "told once, and before packets can come"
    first = handles(carol)
    assert set(first) == {track.sid for track in tracks}
    assert {e.handle for e in stage.ledger.data_down_tracks.values()} == set(first.values())
    told = carol.got(messages.DataTrackHandles)[-1].handles[first[tracks[0].sid]]
    assert (told.publisher_identity, told.publisher_sid) == ("alice", alice.sid)
    assert want(carol, *tracks) == [], "it has them"
    want(carol, tracks[0], subscribe=False)
    assert handles(carol) == {tracks[1].sid: first[tracks[1].sid]}
    want(carol, tracks[0])
    assert handles(carol)[tracks[0].sid] not in first.values()
    assert want(alice, tracks[0]) == [], "nobody gets its own"
    assert want(alice, DataTrackView(TrackSid("DTR_gone"), 1, "gone")) == []


def _is_handles(effect: fx.Effect) -> bool:
    return isinstance(effect, fx.Send) and isinstance(effect.message, messages.DataTrackHandles)


def test_handles_wrap_round_those_in_use(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    kept = publish(alice, 1, "kept")
    want(bob, kept)
    used = handles(bob)[kept.sid]
    (participant,) = (p for p in stage.room._state.participants.values() if p.identity == "bob")
    participant.last_data_handle = 0xFFFF
    others = [publish(alice, 2 + number, f"t{number}") for number in range(used + 1)]
    want(bob, *others)
    now = handles(bob)
    assert len(set(now.values())) == len(others) + 1
    assert 0 not in now.values()
    assert now[kept.sid] == used


@pytest.mark.parametrize("single", [True, False])
def test_who_subscribes_automatically_gets_what_is_there_and_what_comes(stage: Stage, single: bool) -> None:
    alice = stage.active("alice")
    there = publish(alice, 1, "there")
    bob = stage.active("bob", auto_subscribe_data=True, single_peer_connection=single)
    assert set(handles(bob)) == {there.sid}
    comes = publish(alice, 2, "comes")
    assert set(handles(bob)) == {there.sid, comes.sid}
    stage.active("hidden", hidden=True)
    hidden = next(client for client in [stage.active("ghost", hidden=True)])
    publish(hidden, 3, "unseen")
    assert set(handles(bob)) == {there.sid, comes.sid}
    alice.leave()
    assert handles(bob) == {}
    bob.leave()
    assert not stage.ledger.data_down_tracks


def test_many_data_tracks_at_once_are_few_messages(stage: Stage) -> None:
    """Each update tells of all tracks of their owner, and each map tells of all handles."""
    alice = stage.active("alice")
    readers = [stage.active(f"reader{number}", auto_subscribe_data=True) for number in range(10)]
    stage.wait(10)
    stage.clear()
    for handle in range(1, 257):
        stage.do(inputs.PublishDataTrack(alice.session, handle, f"track{handle}"))
    stage.wait(1)
    for reader in readers:
        assert len(reader.told_of("alice")) <= 18
        assert len(reader.got(messages.DataTrackHandles)) <= 4
        assert len(handles(reader)) == 256
    assert len(stage.ledger.data_down_tracks) == 256 * 10
    stage.clear()
    alice.leave()
    stage.wait(1)
    for reader in readers:
        (told,) = reader.got(messages.DataTrackHandles)
        assert told.handles == {}


def test_handles_mean_something_to_who_hears_them(stage: Stage) -> None:
    """The track is told before its handle, and the handle before packets, in a flood of changes as well."""
    alice = stage.active("alice")
    bob = stage.active("bob", auto_subscribe_data=True)
    stage.wait(10)
    seen: list[fx.Effect] = []
    for handle in range(1, 41):
        seen += stage.do(inputs.PublishDataTrack(alice.session, handle, f"track{handle}"))
        seen += stage.wait(0.03)
    gone = publish(alice, 99, "gone")
    seen += stage.do(inputs.UnpublishDataTrack(alice.session, 99))
    seen += stage.wait(3)
    tracks: set[str] = set()
    known: set[int] = set()
    for effect in seen:
        message = effect.message if isinstance(effect, fx.Send) and bob.session in effect.sessions else None
        if isinstance(message, messages.ParticipantUpdate):
            tracks |= {track.sid for view in message.participants for track in view.data_tracks}
        elif isinstance(message, messages.DataTrackHandles):
            assert {track.track_sid for track in message.handles.values()} <= tracks
            known = set(message.handles)
        elif isinstance(effect, fx.AddDataDownTrack):
            assert effect.handle in known
    assert len(handles(bob)) == len(stage.ledger.data_down_tracks) == 40
    assert gone.sid not in handles(bob)


def test_a_no_counts_at_once_though_it_is_told_later(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    want(bob, publish(alice))
    stage.wait(1)
    for everybody in (False, True, False):
        stage.do(inputs.SetSubscriptionPermission(alice.session, all_participants=everybody, permissions=()))
    assert not stage.ledger.data_down_tracks
    assert handles(bob) == {}
    stage.clear()
    stage.do(inputs.SetSubscriptionPermission(alice.session, all_participants=False, permissions=()))
    stage.wait(1)
    assert not bob.got(messages.DataTrackHandles), "it has said so before"


def test_a_subscriber_without_a_handle_left_is_told_so(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(data=DataSettings(max_subscriptions=2))
    alice, bob = stage.active("alice"), stage.active("bob")
    tracks = [publish(alice, handle, f"t{handle}") for handle in range(1, 5)]
    wishes = tuple(inputs.DataSubscriptionWish(track.sid, subscribe=True) for track in tracks)
    assert refusal(bob, inputs.UpdateDataSubscription(bob.session, wishes)) is RequestReason.LIMIT_EXCEEDED
    assert set(handles(bob)) == {track.sid for track in tracks[:2]}
    swap = [inputs.DataSubscriptionWish(tracks[n].sid, subscribe=n == 3) for n in (3, 0)]
    stage.do(inputs.UpdateDataSubscription(bob.session, tuple(swap)))
    assert set(handles(bob)) == {tracks[1].sid, tracks[3].sid}
    late = stage.active("late", auto_subscribe_data=True)
    assert len(handles(late)) == 2
    assert not late.got(messages.RequestResponse), "it has asked for nothing"


def test_all_handles_can_be_in_use(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(data=DataSettings(max_subscriptions=0xFFFF + 9))
    alice, bob = stage.active("alice"), stage.active("bob")
    tracks = [publish(alice, handle, f"t{handle}") for handle in (1, 2)]
    participant = stage.room._state.by_identity["bob"]
    want(bob, tracks[0])
    (subscription,) = participant.data_subscriptions.values()
    free = (participant.last_data_handle + 77) % 0xFFFF + 1
    others: Any = {handle: subscription for handle in range(1, 0xFFFF + 1) if handle != free}
    participant.data_handles = others
    participant.data_subscriptions.update({TrackSid(f"DTR_{n}"): subscription for n in range(0xFFFF - 2)})
    want(bob, tracks[1])
    assert participant.data_subscriptions[tracks[1].sid].handle == free
    more = publish(alice, 3, "more")
    wish = inputs.DataSubscriptionWish(more.sid, subscribe=True)
    assert refusal(bob, inputs.UpdateDataSubscription(bob.session, (wish,))) is RequestReason.LIMIT_EXCEEDED


def test_a_rate_is_passed_on_when_it_changes(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = publish(alice)
    (down,) = (e for e in want(bob, track, fps=5) if isinstance(e, fx.AddDataDownTrack))
    assert down.frames_per_s == 5
    assert want(bob, track, fps=5) == []
    assert want(bob, track, fps=9) == [fx.SetDataDownTrackRate(down.data_down_track, 9)]
    assert want(bob, track) == [fx.SetDataDownTrackRate(down.data_down_track, None)]


def test_a_publishers_word_is_obeyed(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = publish(alice)
    want(bob, track)
    stage.do(inputs.SetSubscriptionPermission(alice.session, all_participants=False, permissions=()))
    assert handles(bob) == {}
    assert bob.got(messages.SubscriptionPermissionUpdate)[-1].allowed is False
    assert not stage.ledger.data_down_tracks
    stage.do(inputs.SetSubscriptionPermission(alice.session, all_participants=True, permissions=()))
    assert set(handles(bob)) == {track.sid}, "it was still wanted"
    assert bob.got(messages.SubscriptionPermissionUpdate)[-1].allowed is True


def test_permissions_that_are_taken_end_tracks_and_subscriptions(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = publish(alice)
    want(bob, track)
    permit(stage, "bob", can_subscribe=False)
    assert handles(bob) == {}
    permit(stage, "bob")
    assert set(handles(bob)) == {track.sid}
    permit(stage, "alice", can_publish=False)
    assert bob.told_of("alice")[-1].is_publisher, "of data"
    permit(stage, "alice", can_publish_data=False)
    assert alice.got(messages.DataTrackUnpublished) == [messages.DataTrackUnpublished(track)]
    assert handles(bob) == {}
    assert bob.told_of("alice")[-1].data_tracks == ()
    assert not stage.ledger.data_up_tracks
    assert refusal(alice, inputs.PublishDataTrack(alice.session, 1, "x")) is RequestReason.NOT_ALLOWED


def test_who_becomes_hidden_takes_its_tracks_along(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = publish(alice)
    want(bob, track)
    permit(stage, "alice", hidden=True)
    assert handles(bob) == {}
    assert bob.told_of("alice")[-1].data_tracks == ()
    permit(stage, "alice")
    assert set(handles(bob)) == {track.sid}
    assert bob.told_of("alice")[-1].data_tracks == (track,)


def test_after_a_resume_handles_are_as_before(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    early = publish(alice, 1, "early")
    stage.wait(60)
    late = publish(alice, 2, "late")
    want(bob, early, late)
    before = handles(bob)
    for client in (alice, bob):
        client.lose()
    alice, bob = alice.resume(), bob.resume()
    assert handles(bob) == before
    assert len(stage.ledger.data_down_tracks) == 2
    assert not alice.got(messages.DataTrackPublished), "SDKs forget a track that is answered for twice"
    assert stage.do(inputs.SyncState(alice.session, published_data=(early.sid, late.sid))) == []
    assert stage.do(inputs.SyncState(alice.session, published_data=(early.sid,))) == [], (
        "it has said once what it knows"
    )
    again = inputs.DataSubscriptionWish(early.sid, subscribe=True)
    assert stage.do(inputs.SyncState(bob.session, data_wishes=(again,))) == []
    stage.do(inputs.SyncState(alice.session, published_data=(TrackSid("DTR_unknown"),)))
    assert alice.got(messages.Leave)[-1].reason is DisconnectReason.STATE_MISMATCH
    assert handles(bob) == {}
    bob.lose()
    assert handles(bob.resume()) == {}, "it knows of handles that are gone"


def test_an_answer_that_was_lost_with_the_line_is_repeated(stage: Stage) -> None:
    alice = stage.active("alice")
    known = publish(alice, 1, "known")
    stage.wait(60)
    heard, unheard = publish(alice, 2, "heard"), publish(alice, 3, "unheard")
    alice.lose()
    alice = alice.resume()
    fresh = publish(alice, 4, "fresh")
    stage.do(inputs.SyncState(alice.session, published_data=(known.sid, heard.sid)))
    assert [m.track for m in alice.got(messages.DataTrackPublished)] == [fresh, unheard]


# ---------------------------------------------------------------- data blobs

KEY = BlobKeyView(schema=SchemaView("pose", EncodingView(custom="proto")))


def store(client: Client, key: BlobKeyView | None = KEY, contents: bytes = b"x") -> inputs.StoreDataBlob:
    return inputs.StoreDataBlob(client.session, 4, key, contents)


def get(client: Client, identity: str, key: BlobKeyView | None = KEY) -> inputs.GetDataBlob:
    return inputs.GetDataBlob(client.session, 5, identity, key)


@pytest.fixture
def open_stage(stage_with: Callable[..., Stage]) -> Stage:
    """A room that keeps data blobs."""
    return stage_with(data=DataSettings(blobs_enabled=True))


def test_blobs_are_kept_replaced_and_gone_with_their_owner(open_stage: Stage) -> None:
    alice, bob = open_stage.active("alice"), open_stage.active("bob")
    for contents in (b"one", b"two"):
        open_stage.do(store(alice, contents=contents))
    assert alice.got(messages.DataBlobStored) == [messages.DataBlobStored(4, KEY)] * 2
    open_stage.do(get(bob, "alice"))
    assert bob.got(messages.DataBlobFound) == [messages.DataBlobFound(5, KEY, b"two")]
    assert refusal(bob, get(bob, "alice", BlobKeyView("pose"))) is RequestReason.NOT_FOUND
    assert refusal(bob, get(bob, "nobody")) is RequestReason.NOT_FOUND
    assert refusal(bob, get(bob, "alice", None)) is RequestReason.INVALID_REQUEST
    assert refusal(bob, store(bob, None)) is RequestReason.INVALID_REQUEST
    alice.leave()
    assert refusal(bob, get(bob, "alice")) is RequestReason.NOT_FOUND
    ghost = open_stage.active("ghost", hidden=True)
    open_stage.do(store(ghost))
    assert refusal(bob, get(bob, "ghost")) is RequestReason.NOT_FOUND
    open_stage.do(get(ghost, "ghost"))
    assert ghost.got(messages.DataBlobFound)


def test_blobs_have_limits(open_stage: Stage) -> None:
    alice = open_stage.active("alice")
    large = BlobKeyView("k" * 256)
    open_stage.do(store(alice, large, bytes(64_000 - 256)))
    assert alice.got(messages.DataBlobStored)
    assert refusal(alice, store(alice, KEY)) is RequestReason.LIMIT_EXCEEDED
    open_stage.do(store(alice, large, bytes(64_000 - 256)))
    assert len(alice.got(messages.DataBlobStored)) == 2, "in place of itself it fits"
    assert refusal(alice, store(alice, BlobKeyView("k" * 257))) is RequestReason.INVALID_REQUEST
    assert refusal(alice, store(alice, BlobKeyView(""))) is RequestReason.INVALID_REQUEST
    assert refusal(alice, store(alice, KEY, b"")) is RequestReason.INVALID_REQUEST
    unnamed = BlobKeyView(schema=SchemaView("s", EncodingView(custom="")))
    assert refusal(alice, store(alice, unnamed)) is RequestReason.INVALID_REQUEST


def test_a_participant_keeps_a_limited_number_of_blobs(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(data=DataSettings(blobs_enabled=True, max_blobs=2))
    alice = stage.active("alice")
    for name in ("one", "two", "one"):
        stage.do(store(alice, BlobKeyView(name)))
    assert len(alice.got(messages.DataBlobStored)) == 3
    assert refusal(alice, store(alice, BlobKeyView("three"))) is RequestReason.LIMIT_EXCEEDED
    stage.do(get(alice, "alice", BlobKeyView("two")))
    assert alice.got(messages.DataBlobFound), "those that are kept stay"


def test_a_room_keeps_limited_bytes_of_blobs(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(data=DataSettings(blobs_enabled=True, max_blobs_bytes=0, max_room_blobs_bytes=100))
    alice, bob = stage.active("alice"), stage.active("bob")
    key = BlobKeyView("0123456789")
    stage.do(store(alice, key, bytes(50)))
    assert refusal(bob, store(bob, key, bytes(31))) is RequestReason.LIMIT_EXCEEDED
    stage.do(store(bob, key, bytes(30)))
    stage.do(store(alice, key, bytes(40)))
    assert len(bob.got(messages.DataBlobStored)) == 1
    assert len(alice.got(messages.DataBlobStored)) == 2, "what it replaces does not count"
    assert refusal(alice, store(alice, key, bytes(51))) is RequestReason.LIMIT_EXCEEDED
    alice.leave()
    stage.do(store(bob, key, bytes(90)))
    assert len(bob.got(messages.DataBlobStored)) == 2, "who left makes room"


def test_blobs_are_off_unless_switched_on(stage: Stage, open_stage: Stage) -> None:
    alice = stage.active("alice")
    assert refusal(alice, store(alice)) is RequestReason.NOT_ALLOWED
    assert refusal(alice, get(alice, "alice")) is RequestReason.NOT_ALLOWED
    mute = open_stage.active("mute", can_publish_data=False)
    assert refusal(mute, store(mute)) is RequestReason.NOT_ALLOWED
