"""Frames <-> domain values, against LiveKit's own message classes."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models, rtc

from sfu.control.requests import ClientAnswer, ClientCandidate, ClientOffer
from sfu.control.sinks import Outgoing
from sfu.ids import ParticipantSid, RoomSid, SessionId, TrackSid
from sfu.room import inputs
from sfu.room import messages as msg
from sfu.room.devices import DisabledCodecs
from sfu.room.effects import SendEngineData
from sfu.room.enums import (
    ConnectionQuality,
    DisconnectReason,
    LeaveAction,
    ParticipantKind,
    ParticipantState,
    RequestReason,
    Scenario,
    SubscriptionError,
    TrackSource,
    TrackType,
    VideoQuality,
)
from sfu.room.views import (
    BlobKeyView,
    CodecView,
    DataTrackView,
    EncodingView,
    LayerView,
    ParticipantView,
    PermissionView,
    RoomView,
    SchemaView,
    TrackView,
)
from signaling.wire import (
    BadFrame,
    ProtobufDataEncoder,
    ReplyNow,
    ServerFacts,
    WireEncoder,
    parse_frame,
    translate,
)
from signaling.wire.responses import IceServer

SESSION = SessionId(7)
ROOM = RoomView(
    sid=RoomSid("RM_1"),
    name="lobby",
    empty_timeout_s=300,
    departure_timeout_s=20,
    max_participants=9,
    creation_time_ms=1_795_000_000_123,
    enabled_codecs=("video/VP8",),
    metadata="m",
    num_participants=2,
    num_publishers=1,
    active_recording=True,
)
LAYER = LayerView(VideoQuality.LOW, 320, 180, 200_000, 11, 0, "q", 12)
TRACK = TrackView(
    sid=TrackSid("TR_VC1"),
    type=TrackType.VIDEO,
    source=TrackSource.CAMERA,
    name="cam",
    muted=True,
    width=1280,
    height=720,
    simulcast=True,
    disable_dtx=True,
    layers=(LAYER,),
    mime_type="video/VP8",
    mid="1",
    codecs=(CodecView("video/VP8", "1", "cid", (LAYER,), 1, "sdp"),),
    stereo=True,
    disable_red=True,
    encryption=1,
    stream="camera",
    version_us=5,
    audio_features=(0, 1),
    backup_codec_policy=2,
    packet_trailer_features=(1,),
)
SCHEMA = SchemaView("pose", EncodingView(custom="proto"))
DATA_TRACK = DataTrackView(TrackSid("DTR_1"), 7, "joints", 1, EncodingView(well_known=1), SCHEMA)
ANN = ParticipantView(
    sid=ParticipantSid("PA_1"),
    identity="ann",
    state=ParticipantState.ACTIVE,
    version=3,
    name="Ann",
    metadata="meta",
    attributes={"a": "1"},
    tracks=(TRACK,),
    data_tracks=(DATA_TRACK,),
    permission=PermissionView(can_publish_sources=(TrackSource.CAMERA,), hidden=True, agent=True),
    joined_at_ms=1_795_000_000_456,
    region="eu",
    is_publisher=True,
    kind=ParticipantKind.AGENT,
    kind_details=(1,),
    disconnect_reason=DisconnectReason.CLIENT_INITIATED,
    client_protocol=1,
    capabilities=(1,),
)
FACTS = ServerFacts(node_id="ND_1", region="eu", ice_servers=(IceServer(("stun:s:1",), "u", "c"),))
ENCODER = WireEncoder(FACTS)
ECHO = msg.RequestEcho("mute", rtc.MuteTrackRequest(sid="TR_x", muted=True))

MESSAGES: dict[str, msg.Message] = {
    "join": msg.Joined(
        ROOM,
        ANN,
        (ANN,),
        True,
        True,
        b"\x01\x02",
        ("video/VP8", "audio/opus"),
        DisabledCodecs(("video/AV1",), ("video/VP9",)),
    ),
    "reconnect": msg.Reconnected(5),
    "answer": msg.Answer("v=0", 0, {"0": "TR_1"}),
    "offer": msg.Offer("v=0", 255, {}),
    "trickle": msg.Trickle("candidate:1", subscriber=True, final=True, mid="x", line=3),
    "update": msg.ParticipantUpdate((ANN,)),
    "track_published": msg.TrackPublished("cid", TRACK),
    "track_unpublished": msg.TrackUnpublished(TrackSid("TR_1")),
    "track_subscribed": msg.TrackSubscribed(TrackSid("TR_1")),
    "leave": msg.Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT),
    "mute": msg.Mute(TrackSid("TR_1"), muted=True),
    "speakers_changed": msg.SpeakersChanged((msg.SpeakerView(ParticipantSid("PA_1"), 0.5, True),)),
    "connection_quality": msg.ConnectionQualityUpdate(
        (msg.QualityView(ParticipantSid("PA_1"), ConnectionQuality.LOST, 1.5),)
    ),
    "room_update": msg.RoomUpdate(ROOM),
    "subscribed_quality_update": msg.SubscribedQualityUpdate(
        TrackSid("TR_1"), (msg.SubscribedCodec("vp9", (VideoQuality.LOW, VideoQuality.MEDIUM)),)
    ),
    "subscription_permission_update": msg.SubscriptionPermissionUpdate(
        ParticipantSid("PA_1"), TrackSid("TR_1"), allowed=True
    ),
    "stream_state_update": msg.StreamStateUpdate(
        (
            msg.StreamState(ParticipantSid("PA_1"), TrackSid("TR_1"), paused=True),
            msg.StreamState(ParticipantSid("PA_1"), TrackSid("TR_2"), paused=False),
        )
    ),
    "subscription_response": msg.SubscriptionResponse(TrackSid("TR_1"), SubscriptionError.TRACK_NOT_FOUND),
    "request_response": msg.RequestResponse(RequestReason.NOT_FOUND, "no", 3, ECHO),
    "refresh_token": msg.RefreshedToken("t"),
    "media_sections_requirement": msg.MediaSectionsRequirement(2, 0),
    "publish_data_track_response": msg.DataTrackPublished(DATA_TRACK),
    "unpublish_data_track_response": msg.DataTrackUnpublished(DATA_TRACK),
    "data_track_subscriber_handles": msg.DataTrackHandles(
        {300: msg.DataTrackHandle("ann", ParticipantSid("PA_1"), TrackSid("DTR_1"))}
    ),
    "store_data_blob_response": msg.DataBlobStored(4, BlobKeyView(schema=SCHEMA)),
    "get_data_blob_response": msg.DataBlobFound(5, BlobKeyView(generic="k"), b"\0\xff"),
    "pong": msg.Pong(12),
    "pong_resp": msg.PongResponse(1, 2),
}


def frames(message: msg.Message) -> tuple[rtc.SignalResponse, rtc.SignalResponse]:
    """The message through a protobuf and through a JSON frame."""
    outgoing = Outgoing(message)
    binary, text = ENCODER.frame(outgoing, text=False), ENCODER.frame(outgoing, text=True)
    assert isinstance(binary, bytes)
    assert isinstance(text, str)
    return rtc.SignalResponse.FromString(binary), json_format.Parse(text, rtc.SignalResponse())


def test_every_message_has_an_example_here() -> None:
    assert {type(message) for message in MESSAGES.values()} == set(typing.get_args(msg.Message))


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_is_its_member_in_both_formats(name: str) -> None:
    binary, text = frames(MESSAGES[name])
    assert binary.WhichOneof("message") == name
    assert binary == text


def test_qualities_are_told_one_by_one_and_for_old_clients_too() -> None:
    update = frames(MESSAGES["subscribed_quality_update"])[0].subscribed_quality_update
    (codec,) = update.subscribed_codecs
    assert (update.track_sid, codec.codec) == ("TR_1", "vp9")
    assert [(quality.quality, quality.enabled) for quality in codec.qualities] == [(0, True), (1, True), (2, False)]
    assert list(update.subscribed_qualities) == list(codec.qualities)


def test_connections_are_told_by_the_numbers_of_the_wire() -> None:
    (connection,) = frames(MESSAGES["connection_quality"])[0].connection_quality.updates
    assert (connection.participant_sid, connection.quality, connection.score) == ("PA_1", models.LOST, 1.5)


def test_a_message_is_encoded_once_for_each_format() -> None:
    outgoing = Outgoing(MESSAGES["update"])
    assert ENCODER.frame(outgoing, text=False) is ENCODER.frame(outgoing, text=False)
    assert set(outgoing.frames) == {False}


def test_stream_states_tell_paused_from_active() -> None:
    update = frames(MESSAGES["stream_state_update"])[0].stream_state_update
    assert [(state.track_sid, state.state) for state in update.stream_states] == [
        ("TR_1", rtc.StreamState.PAUSED),
        ("TR_2", rtc.StreamState.ACTIVE),
    ]


def test_the_join_response_is_complete() -> None:
    join = frames(MESSAGES["join"])[0].join
    set_fields = {field.name for field, _ in join.ListFields()}
    assert set_fields == {
        "room", "participant", "other_participants", "server_version", "ice_servers", "subscriber_primary",
        "server_region", "ping_timeout", "ping_interval", "server_info", "sif_trailer", "enabled_publish_codecs",
        "fast_publish", "client_configuration",
    }  # fmt: skip
    disabled = join.client_configuration.disabled_codecs
    assert [codec.mime for codec in disabled.codecs] == ["video/AV1"]
    assert [codec.mime for codec in disabled.publish] == ["video/VP9"]
    # RPC needs 1.8; up to 1.13.6 livekit-client publishes VP9 and AV1 in simulcast not even when told to.
    assert tuple(int(part) for part in join.server_version.split(".")) > (1, 13, 6)
    info = join.server_info
    assert (info.version, info.protocol, info.agent_protocol, info.node_id) == (join.server_version, 17, 1, "ND_1")
    assert (join.ping_interval, join.ping_timeout) == (5, 10)
    assert [codec.mime for codec in join.enabled_publish_codecs] == ["video/VP8", "audio/opus"]
    assert list(join.ice_servers[0].urls) == ["stun:s:1"]


def test_views_arrive_field_by_field() -> None:
    info = frames(MESSAGES["update"])[0].update.participants[0]
    assert {field.name for field in info.DESCRIPTOR.fields} == {field.name for field, _ in info.ListFields()}
    data_track = info.data_tracks[0]
    assert {field.name for field in data_track.DESCRIPTOR.fields} == {f.name for f, _ in data_track.ListFields()}
    assert data_track.frame_encoding.well_known == 1
    assert (data_track.schema.name, data_track.schema.encoding.custom) == ("pose", "proto")
    track = info.tracks[0]
    assert {field.name for field in track.DESCRIPTOR.fields} == {field.name for field, _ in track.ListFields()}
    assert (info.joined_at, info.joined_at_ms) == (1_795_000_000, 1_795_000_000_456)
    assert track.codecs[0].layers[0].rid == "q"
    room = frames(MESSAGES["room_update"])[0].room_update.room
    assert {field.name for field in room.DESCRIPTOR.fields} - {field.name for field, _ in room.ListFields()} == {
        "turn_password",
        "version",
    }


def test_candidates_travel_as_browsers_read_them() -> None:
    trickle = frames(MESSAGES["trickle"])[0].trickle
    assert json.loads(trickle.candidateInit) == {
        "candidate": "candidate:1",
        "sdpMid": "x",
        "sdpMLineIndex": 3,
        "usernameFragment": None,
    }
    assert (trickle.target, trickle.final) == (rtc.SignalTarget.SUBSCRIBER, True)


@pytest.mark.parametrize(
    ("action", "can_reconnect"),
    [(LeaveAction.DISCONNECT, False), (LeaveAction.RECONNECT, True), (LeaveAction.RESUME, True)],
)
def test_old_clients_read_the_leave_flag(action: LeaveAction, *, can_reconnect: bool) -> None:
    leave = frames(msg.Leave(DisconnectReason.ROOM_DELETED, action))[0].leave
    assert (leave.can_reconnect, leave.action, leave.reason) == (can_reconnect, action.value, 5)


def test_a_failed_request_is_echoed() -> None:
    answer = frames(MESSAGES["request_response"])[0].request_response
    assert answer.WhichOneof("request") == "mute"
    assert (answer.mute.sid, answer.request_id, answer.message) == ("TR_x", 3, "no")


def test_server_data_is_a_packet_without_a_sender() -> None:
    effect = SendEngineData(b"hi", True, "topic", ("bob",), b"n" * 16, None)
    packet = models.DataPacket.FromString(ProtobufDataEncoder().encode_data(effect))
    assert (packet.user.payload, packet.user.topic, packet.user.nonce) == (b"hi", "topic", b"n" * 16)
    assert list(packet.destination_identities) == list(packet.user.destination_identities) == ["bob"]
    assert (packet.participant_identity, packet.participant_sid) == ("", "")
    assert packet.kind == models.DataPacket.Kind.RELIABLE


# ---------------------------------------------------------------- requests


def ask(**members: object) -> object:
    """What a request with these members means."""
    return translate(SESSION, rtc.SignalRequest(**members), now_ms=99)  # type: ignore[arg-type]


def test_negotiation_goes_to_the_shell() -> None:
    assert ask(offer=rtc.SessionDescription(type="offer", sdp="v=0", id=3)) == ClientOffer(SESSION, "v=0", 3)
    assert ask(answer=rtc.SessionDescription(type="answer", sdp="v=0", id=4)) == ClientAnswer(SESSION, "v=0", 4)
    trickle = rtc.TrickleRequest(candidateInit='{"candidate":"candidate:1 1 udp"}', target=rtc.SignalTarget.SUBSCRIBER)
    assert ask(trickle=trickle) == ClientCandidate(SESSION, "candidate:1 1 udp", subscriber=True)


@pytest.mark.parametrize(
    "init", ['{"candidate":""}', '{"candidate":null}', "{}", '{"candidate":"candidate:1 1 udp 1 x.local 9 typ host"}']
)
def test_candidates_without_use_are_ignored(init: str) -> None:
    assert ask(trickle=rtc.TrickleRequest(candidateInit=init)) is None


@pytest.mark.parametrize("init", ["", "no json", "[]", "3", '{"candidate":5}', "[" * 100_000])
def test_broken_candidates_are_answered(init: str) -> None:
    reply = ask(trickle=rtc.TrickleRequest(candidateInit=init))
    assert isinstance(reply, ReplyNow)
    assert isinstance(reply.message, msg.RequestResponse)
    assert reply.message.reason is RequestReason.UNCLASSIFIED_ERROR
    assert frames(reply.message)[0].request_response.WhichOneof("request") == "trickle"


def test_both_pings_are_answered_at_the_edge() -> None:
    assert ask(ping=5) == ReplyNow(msg.Pong(99))
    assert ask(ping_req=rtc.Ping(timestamp=5, rtt=1)) == ReplyNow(msg.PongResponse(5, 99))


def test_add_track_keeps_everything() -> None:
    request = rtc.AddTrackRequest(
        cid="c",
        name="n",
        type=models.TrackType.VIDEO,
        width=1,
        height=2,
        muted=True,
        disable_dtx=True,
        source=models.TrackSource.SCREEN_SHARE,
        layers=[models.VideoLayer(quality=models.VideoQuality.MEDIUM, width=5, rid="h")],
        simulcast_codecs=[rtc.SimulcastCodec(codec="vp9", cid="k")],
        sid="TR_1",
        stereo=True,
        disable_red=True,
        encryption=models.Encryption.Type.GCM,
        stream="s",
    )
    added = ask(add_track=request)
    assert isinstance(added, inputs.AddTrack)
    assert (added.cid, added.name, added.type, added.source) == ("c", "n", TrackType.VIDEO, TrackSource.SCREEN_SHARE)
    assert (added.width, added.height, added.muted, added.disable_dtx) == (1, 2, True, True)
    assert (added.stereo, added.disable_red, added.encryption, added.stream, added.sid) == (True, True, 1, "s", "TR_1")
    assert added.layers == (LayerView(VideoQuality.MEDIUM, width=5, rid="h"),)
    assert added.codecs == (inputs.CodecOffered("vp9", "k"),)
    assert added.echo == msg.RequestEcho("add_track", request)


def test_numbers_out_of_range_are_harmless() -> None:
    added = ask(add_track=rtc.AddTrackRequest(type=77, source=88, layers=[models.VideoLayer(quality=9)]))  # type: ignore[arg-type]
    assert isinstance(added, inputs.AddTrack)
    assert (added.type, added.source) == (TrackType.DATA, TrackSource.UNKNOWN)
    left = ask(leave=rtc.LeaveRequest(reason=models.DisconnectReason.SERVER_SHUTDOWN))
    assert left == inputs.LeaveRequested(SESSION, DisconnectReason.CLIENT_INITIATED)


def test_subscriptions_gather_their_sids() -> None:
    request = rtc.UpdateSubscription(
        track_sids=["TR_1", "TR_2"],
        subscribe=True,
        participant_tracks=[models.ParticipantTracks(participant_sid="PA_1", track_sids=["TR_2", "TR_3"])],
    )
    sids = tuple(map(TrackSid, ("TR_1", "TR_2", "TR_3")))
    assert ask(subscription=request) == inputs.UpdateSubscription(SESSION, sids, subscribe=True)


def test_the_other_requests() -> None:
    assert ask(leave=rtc.LeaveRequest(reason=models.DisconnectReason.AGENT_ERROR)) == inputs.LeaveRequested(
        SESSION, DisconnectReason.AGENT_ERROR
    )
    muted = ask(mute=rtc.MuteTrackRequest(sid="TR_1", muted=True))
    assert isinstance(muted, inputs.MuteOwnTrack)
    assert (muted.track_sid, muted.muted) == ("TR_1", True)
    settings = ask(track_setting=rtc.UpdateTrackSettings(track_sids=["TR_1"], disabled=True, width=3, fps=4))
    assert settings == inputs.UpdateTrackSettings(
        SESSION, (TrackSid("TR_1"),), disabled=True, quality=VideoQuality.LOW, width=3, fps=4
    )
    permission = rtc.TrackPermission(participant_identity="bob", track_sids=["TR_1"])
    allowed = ask(subscription_permission=rtc.SubscriptionPermission(track_permissions=[permission]))
    assert allowed == inputs.SetSubscriptionPermission(
        SESSION,
        all_participants=False,
        permissions=(inputs.TrackPermission(participant_identity="bob", track_sids=(TrackSid("TR_1"),)),),
    )
    update = ask(update_metadata=rtc.UpdateParticipantMetadata(metadata="m", attributes={"a": ""}, request_id=5))
    assert isinstance(update, inputs.UpdateOwnMetadata)
    assert (update.metadata, dict(update.attributes), update.request_id) == ("m", {"a": ""}, 5)
    audio = ask(
        update_audio_track=rtc.UpdateLocalAudioTrack(track_sid="TR_1", features=[models.AudioTrackFeature.TF_STEREO])
    )
    assert isinstance(audio, inputs.UpdateOwnAudioTrack)
    video = ask(update_video_track=rtc.UpdateLocalVideoTrack(track_sid="TR_1", width=1, height=2))
    assert isinstance(video, inputs.UpdateOwnVideoTrack)
    assert (video.width, video.height) == (1, 2)


def test_data_tracks_in_the_domains_words() -> None:
    request = rtc.PublishDataTrackRequest(
        pub_handle=7,
        name="joints",
        encryption=models.Encryption.GCM,
        frame_encoding={"well_known": 1},
        schema={"name": "pose", "encoding": {"custom": "proto"}},
    )
    publish = ask(publish_data_track_request=request)
    assert isinstance(publish, inputs.PublishDataTrack)
    assert (publish.handle, publish.name, publish.encryption) == (7, "joints", 1)
    assert (publish.frame_encoding, publish.schema) == (EncodingView(well_known=1), SCHEMA)
    refusal = frames(msg.RequestResponse(RequestReason.INVALID_NAME, echo=publish.echo))[0].request_response
    assert refusal.publish_data_track == request
    bare = ask(publish_data_track_request=rtc.PublishDataTrackRequest(frame_encoding={}, schema={}))
    assert isinstance(bare, inputs.PublishDataTrack)
    assert (bare.frame_encoding, bare.schema) == (EncodingView(), SchemaView())
    unpublish = ask(unpublish_data_track_request=rtc.UnpublishDataTrackRequest(pub_handle=7))
    assert isinstance(unpublish, inputs.UnpublishDataTrack)
    assert (unpublish.handle, unpublish.echo is not None) == (7, True)
    updates: list[dict[str, Any]] = [
        {"track_sid": "DTR_1", "subscribe": False},
        {"track_sid": "DTR_2", "subscribe": True, "options": {"target_fps": 0}},
        {"track_sid": "DTR_1", "subscribe": True, "options": {"target_fps": 5}},
    ]
    assert ask(update_data_subscription=rtc.UpdateDataSubscription(updates=updates)) == inputs.UpdateDataSubscription(
        SESSION,
        (
            inputs.DataSubscriptionWish(TrackSid("DTR_1"), subscribe=True, frames_per_s=5),
            inputs.DataSubscriptionWish(TrackSid("DTR_2"), subscribe=True),
        ),
    )


def test_data_blobs_in_the_domains_words() -> None:
    key: dict[str, Any] = {"schema_id": {"name": "pose", "encoding": {"custom": "proto"}}}
    store = rtc.StoreDataBlobRequest(request_id=4, blob={"key": key, "contents": b"x"})
    assert ask(store_data_blob_request=store) == inputs.StoreDataBlob(SESSION, 4, BlobKeyView(schema=SCHEMA), b"x")
    assert ask(store_data_blob_request=rtc.StoreDataBlobRequest()) == inputs.StoreDataBlob(SESSION, 0, None, b"")
    get = rtc.GetDataBlobRequest(request_id=5, participant_identity="ann", key={"generic": "k"})
    assert ask(get_data_blob_request=get) == inputs.GetDataBlob(SESSION, 5, "ann", BlobKeyView(generic="k"))
    refusal = frames(msg.RequestResponse(RequestReason.NOT_FOUND, request_id=5))[0].request_response
    assert (refusal.request_id, refusal.WhichOneof("request")) == (5, None)


def test_unknown_and_empty_requests_are_ignored() -> None:
    assert translate(SESSION, rtc.SignalRequest(), 0) is None
    assert ask(simulate=rtc.SimulateScenario()) is None


def test_what_a_client_believes_after_a_resume() -> None:
    assert ask(sync_state=rtc.SyncState()) == inputs.SyncState(SESSION)
    tracks = models.ParticipantTracks(participant_sid="PA_1", track_sids=["TR_2"])
    state = rtc.SyncState(
        subscription=rtc.UpdateSubscription(track_sids=["TR_1"], participant_tracks=[tracks], subscribe=True),
        publish_tracks=[rtc.TrackPublishedResponse(cid="c", track=models.TrackInfo(sid="TR_3"))],
        track_sids_disabled=["TR_4"],
        datachannel_receive_states=[rtc.DataChannelReceiveState(publisher_sid="PA_2", last_seq=7)],
        publish_data_tracks=[rtc.PublishDataTrackResponse(info=models.DataTrackInfo(sid="DTR_5"))],
        data_subscription=rtc.UpdateDataSubscription(updates=[{"track_sid": "DTR_6", "subscribe": True}]),
    )
    assert ask(sync_state=state) == inputs.SyncState(
        session=SESSION,
        published=(TrackSid("TR_3"),),
        wished=(TrackSid("TR_1"), TrackSid("TR_2")),
        subscribe=True,
        disabled=(TrackSid("TR_4"),),
        received=((ParticipantSid("PA_2"), 7),),
        published_data=(TrackSid("DTR_5"),),
        data_wishes=(inputs.DataSubscriptionWish(TrackSid("DTR_6"), subscribe=True),),
    )


def test_codecs_without_end_are_cut() -> None:
    offered = [rtc.SimulcastCodec(codec=f"c{number}") for number in range(1000)]
    added = ask(add_track=rtc.AddTrackRequest(simulcast_codecs=offered))
    assert isinstance(added, inputs.AddTrack)
    assert [codec.codec for codec in added.codecs] == [f"c{number}" for number in range(8)]


def test_repetitions_in_one_request_are_not_work() -> None:
    settings = ask(track_setting=rtc.UpdateTrackSettings(track_sids=["TR_1", "TR_2", "TR_1"] * 1000))
    assert isinstance(settings, inputs.UpdateTrackSettings)
    assert settings.track_sids == ("TR_1", "TR_2")
    sync = ask(sync_state=rtc.SyncState(track_sids_disabled=["TR_1"] * 1000))
    assert isinstance(sync, inputs.SyncState)
    assert sync.disabled == ("TR_1",)
    layers = [models.VideoLayer(quality=models.VideoQuality.LOW, width=width) for width in range(1000)]
    added = ask(add_track=rtc.AddTrackRequest(layers=layers))
    assert isinstance(added, inputs.AddTrack)
    assert [layer.width for layer in added.layers] == list(range(8))


_MANY = [f"TR_{number}" for number in range(20_001)]


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("subscription", rtc.UpdateSubscription(track_sids=_MANY)),
        (
            "subscription",
            rtc.UpdateSubscription(
                participant_tracks=[models.ParticipantTracks(track_sids=_MANY[half::2]) for half in (0, 1)]
            ),
        ),
        ("track_setting", rtc.UpdateTrackSettings(track_sids=_MANY)),
        (
            "subscription_permission",
            rtc.SubscriptionPermission(track_permissions=[rtc.TrackPermission()] * 20_001),
        ),
        (
            "subscription_permission",
            rtc.SubscriptionPermission(track_permissions=[rtc.TrackPermission(track_sids=_MANY)]),
        ),
        ("sync_state", rtc.SyncState(track_sids_disabled=_MANY)),
        ("sync_state", rtc.SyncState(subscription=rtc.UpdateSubscription(track_sids=_MANY))),
        (
            "sync_state",
            rtc.SyncState(datachannel_receive_states=[rtc.DataChannelReceiveState(publisher_sid="PA_x")] * 20_001),
        ),
        ("update_metadata", rtc.UpdateParticipantMetadata(attributes=dict.fromkeys(_MANY, ""), request_id=4)),
        (
            "update_data_subscription",
            rtc.UpdateDataSubscription(updates=[rtc.UpdateDataSubscription.Update(track_sid=sid) for sid in _MANY]),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_list_that_is_too_long_is_an_error_to_its_sender(name: str, request_: object) -> None:
    answer = ask(**{name: request_})
    assert isinstance(answer, ReplyNow)
    assert isinstance(answer.message, msg.RequestResponse)
    assert answer.message.reason is RequestReason.LIMIT_EXCEEDED
    assert answer.message.message == f"{name} lists more than 20000 entries"
    assert answer.message.request_id == (4 if name == "update_metadata" else 0)
    fits = ask(subscription=rtc.UpdateSubscription(track_sids=_MANY[1:]))
    assert isinstance(fits, inputs.UpdateSubscription)


def test_features_without_end_are_cut() -> None:
    """Everybody in the room is told them."""
    numbers = [3, 1, 3, *range(1000)]
    added = ask(add_track=rtc.AddTrackRequest(audio_features=numbers, packet_trailer_features=numbers))
    assert isinstance(added, inputs.AddTrack)
    updated = ask(update_audio_track=rtc.UpdateLocalAudioTrack(track_sid="TR_1", features=numbers))
    assert isinstance(updated, inputs.UpdateOwnAudioTrack)
    for features in (added.audio_features, added.packet_trailer_features, updated.features):
        assert features[:3] == (3, 1, 0)
        assert len(features) < 32


def test_every_scenario_has_a_name_here() -> None:
    names = {field.name for field in rtc.SimulateScenario.DESCRIPTOR.fields}
    assert {scenario.value for scenario in Scenario} == names
    asked = ask(simulate=rtc.SimulateScenario(switch_candidate_protocol=rtc.CandidateProtocol.TLS))
    assert asked == inputs.Simulate(SESSION, Scenario.SWITCH_CANDIDATE_PROTOCOL, 2)


def test_codecs_that_a_device_cannot_handle_are_told_at_join_and_resume() -> None:
    disabled_codecs = DisabledCodecs(("video/AV1",), ("video/VP9",))
    joined = msg.Joined(ROOM, ANN, (), True, True, b"", (), disabled_codecs)
    for told in (frames(joined)[0].join, frames(msg.Reconnected(0, disabled_codecs))[0].reconnect):
        disabled = told.client_configuration.disabled_codecs
        assert [codec.mime for codec in disabled.codecs] == ["video/AV1"]
        assert [codec.mime for codec in disabled.publish] == ["video/VP9"]
    assert not frames(msg.Reconnected(0))[0].reconnect.HasField("client_configuration")


def test_a_resume_says_which_servers_to_use_and_what_has_arrived() -> None:
    reconnect = frames(MESSAGES["reconnect"])[0].reconnect
    assert (reconnect.last_message_seq, reconnect.server_info.node_id) == (5, "ND_1")
    assert list(reconnect.ice_servers[0].urls) == ["stun:s:1"]


def test_text_frames_are_json_and_ignore_what_they_do_not_know() -> None:
    frame = '{"mute": {"sid": "TR_1", "muted": true}, "fromTheFuture": 1}'
    assert parse_frame(frame).mute.sid == "TR_1"
    assert parse_frame('{"trackSetting": {"trackSids": ["TR_1"]}}').track_setting.track_sids == ["TR_1"]


@pytest.mark.parametrize(
    "frame", [b"\xff\xff\xff", "{", "[1, 2]", '{"mute": 5}', '{"ping": "x"}', "[" * 100_000, "null"]
)
def test_broken_frames(frame: bytes | str) -> None:
    with pytest.raises(BadFrame):
        parse_frame(frame)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_whatever_comes_is_a_request_or_a_bad_frame(frame: bytes | str) -> None:
    try:
        request = parse_frame(frame)
    except BadFrame:
        return
    translated = translate(SESSION, request, 0)
    if isinstance(translated, ReplyNow):
        frames(translated.message)
