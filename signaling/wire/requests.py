"""Clients' signal requests, from protobuf or JSON frames, in the domain's words (protocol.md §3.1).

Owns the mapping in. Trusts nothing: an enumeration's unknown number becomes its harmless member, unknown requests are
ignored. Never decides what is allowed: that is the room's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from sfu.control.requests import ClientAnswer, ClientCandidate, ClientOffer, TransportRequest
from sfu.ids import ParticipantSid, SessionId, TrackSid
from sfu.room import inputs
from sfu.room.enums import DisconnectReason, RequestReason, Scenario, TrackSource, TrackType, VideoQuality
from sfu.room.messages import Message, Pong, PongResponse, RequestEcho, RequestResponse
from sfu.room.views import LayerView
from signaling.wire import data_requests
from signaling.wire.list_limits import each_once, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["BadFrame", "ReplyNow", "Translated", "parse_frame", "to_add_track", "translate"]

_LEAVE_REASONS = {
    reason.value: reason
    for reason in (
        DisconnectReason.CLIENT_INITIATED,
        DisconnectReason.USER_UNAVAILABLE,
        DisconnectReason.USER_REJECTED,
        DisconnectReason.AGENT_ERROR,
    )
}
_SOURCES = {source.value: source for source in TrackSource}
_TYPES = {kind.value: kind for kind in TrackType}
_MAX_LAYERS = 8
"""Of one track; encoders make three."""
_MAX_CODECS = 8
"""Of one track; clients offer two."""
_QUALITIES = {quality.value: quality for quality in VideoQuality}


class BadFrame(Exception):
    """A frame that is no signal request."""


@dataclass(frozen=True, slots=True)
class ReplyNow:
    """What the edge answers by itself."""

    message: Message


Translated = inputs.RoomInput | TransportRequest | ReplyNow | None


def parse_frame(data: bytes | str) -> rtc.SignalRequest:
    """Decodes a binary (protobuf) or text (JSON) frame.

    Raises:
        BadFrame: It is neither.
    """
    try:
        if isinstance(data, str):
            return json_format.Parse(data, rtc.SignalRequest(), ignore_unknown_fields=True)
        return rtc.SignalRequest.FromString(data)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise BadFrame from error


def translate(session: SessionId, request: rtc.SignalRequest, now_ms: int) -> Translated:
    """What a request means; `None` for what is ignored."""
    name = request.WhichOneof("message")
    if name == "ping":
        return ReplyNow(Pong(now_ms))
    if name == "ping_req":
        return ReplyNow(PongResponse(request.ping_req.timestamp, now_ms))
    translator = _TRANSLATORS.get(name or "")
    if name is None or translator is None:
        return None
    asked = getattr(request, name)
    if (complaint := too_long(name, asked)) is not None:
        request_id = getattr(asked, "request_id", 0)
        return ReplyNow(RequestResponse(RequestReason.LIMIT_EXCEEDED, complaint, request_id))
    return translator(session, asked)


def to_add_track(session: SessionId, request: rtc.AddTrackRequest) -> inputs.AddTrack:
    """`AddTrackRequest`; unknown types count as data, which is refused."""
    return inputs.AddTrack(
        session=session,
        cid=request.cid,
        type=_TYPES.get(request.type, TrackType.DATA),
        source=_SOURCES.get(request.source, TrackSource.UNKNOWN),
        name=request.name,
        width=request.width,
        height=request.height,
        muted=request.muted,
        disable_dtx=request.disable_dtx,
        layers=_layers(request.layers),
        codecs=tuple(
            inputs.CodecOffered(codec.codec, codec.cid, _layers(codec.layers), codec.video_layer_mode)
            for codec in islice(request.simulcast_codecs, _MAX_CODECS)
        ),
        sid=request.sid,
        stereo=request.stereo,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream,
        backup_codec_policy=request.backup_codec_policy,
        audio_features=each_once(request.audio_features),
        packet_trailer_features=each_once(request.packet_trailer_features),
        echo=RequestEcho("add_track", request),
    )


def _layers(layers: Iterable[models.VideoLayer]) -> tuple[LayerView, ...]:
    return tuple(
        LayerView(
            quality=_QUALITIES.get(layer.quality, VideoQuality.HIGH),
            width=layer.width,
            height=layer.height,
            bitrate_bps=layer.bitrate,
            ssrc=layer.ssrc,
            spatial_layer=layer.spatial_layer,
            rid=layer.rid,
            repair_ssrc=layer.repair_ssrc,
        )
        for layer in islice(layers, _MAX_LAYERS)
    )


def _trickle(session: SessionId, request: rtc.TrickleRequest) -> Translated:
    """`candidateInit` is JSON; an empty candidate ends the list, mDNS names are of no use to us."""
    try:
        init = json.loads(request.candidateInit)
        candidate = init.get("candidate") or ""
        if not isinstance(candidate, str):
            raise TypeError  # noqa: TRY301 - one exit for everything that is wrong with it
    except (ValueError, TypeError, AttributeError, RecursionError):
        echo = RequestEcho("trickle", request)
        reason = RequestReason.UNCLASSIFIED_ERROR
        return ReplyNow(RequestResponse(reason, "candidateInit is not an ICE candidate", echo=echo))
    candidate = candidate.removeprefix("a=")
    if not candidate or ".local " in candidate:
        return None
    return ClientCandidate(session, candidate, subscriber=request.target == rtc.SignalTarget.SUBSCRIBER)


def _mute(session: SessionId, request: rtc.MuteTrackRequest) -> Translated:
    return inputs.MuteOwnTrack(session, TrackSid(request.sid), request.muted, RequestEcho("mute", request))


def _subscription(session: SessionId, request: rtc.UpdateSubscription) -> inputs.UpdateSubscription:
    sids = [*request.track_sids]
    for tracks in request.participant_tracks:
        sids.extend(tracks.track_sids)
    return inputs.UpdateSubscription(session, _sids(sids), request.subscribe)


def _sids(sids: Iterable[str]) -> tuple[TrackSid, ...]:
    """Each once: what one request may ask for over and over is work for all."""
    return tuple(map(TrackSid, dict.fromkeys(sids)))


def _track_setting(session: SessionId, request: rtc.UpdateTrackSettings) -> Translated:
    return inputs.UpdateTrackSettings(
        session=session,
        track_sids=_sids(request.track_sids),
        disabled=request.disabled,
        quality=_QUALITIES.get(request.quality, VideoQuality.HIGH),
        width=request.width,
        height=request.height,
        fps=request.fps,
        priority=request.priority,
    )


def _subscription_permission(session: SessionId, request: rtc.SubscriptionPermission) -> Translated:
    return inputs.SetSubscriptionPermission(
        session=session,
        all_participants=request.all_participants,
        permissions=tuple(
            inputs.TrackPermission(
                participant_sid=permission.participant_sid,
                participant_identity=permission.participant_identity,
                all_tracks=permission.all_tracks,
                track_sids=tuple(map(TrackSid, permission.track_sids)),
            )
            for permission in request.track_permissions
        ),
    )


def _metadata(session: SessionId, request: rtc.UpdateParticipantMetadata) -> Translated:
    return inputs.UpdateOwnMetadata(
        session=session,
        metadata=request.metadata,
        name=request.name,
        attributes=dict(request.attributes),
        request_id=request.request_id,
        echo=RequestEcho("update_metadata", request),
    )


def _audio_track(session: SessionId, request: rtc.UpdateLocalAudioTrack) -> Translated:
    echo = RequestEcho("update_audio_track", request)
    return inputs.UpdateOwnAudioTrack(session, TrackSid(request.track_sid), each_once(request.features), echo)


def _video_track(session: SessionId, request: rtc.UpdateLocalVideoTrack) -> Translated:
    echo = RequestEcho("update_video_track", request)
    return inputs.UpdateOwnVideoTrack(session, TrackSid(request.track_sid), request.width, request.height, echo)


def _leave(session: SessionId, request: rtc.LeaveRequest) -> Translated:
    return inputs.LeaveRequested(session, _LEAVE_REASONS.get(request.reason, DisconnectReason.CLIENT_INITIATED))


def _sync_state(session: SessionId, request: rtc.SyncState) -> Translated:
    """Descriptions and channels are of use to a server that has to build the connections anew; ours has them."""
    subscription = _subscription(session, request.subscription)
    return inputs.SyncState(
        session=session,
        published=tuple(TrackSid(published.track.sid) for published in request.publish_tracks),
        published_data=tuple(TrackSid(published.info.sid) for published in request.publish_data_tracks),
        data_wishes=data_requests.wishes(request.data_subscription),
        wished=subscription.track_sids,
        subscribe=subscription.subscribe,
        disabled=_sids(request.track_sids_disabled),
        received=tuple((ParticipantSid(s.publisher_sid), s.last_seq) for s in request.datachannel_receive_states),
    )


def _simulate(session: SessionId, request: rtc.SimulateScenario) -> Translated:
    name = request.WhichOneof("scenario")
    if name is None:
        return None
    return inputs.Simulate(session, Scenario(name), int(getattr(request, name)))


_TRANSLATORS: Mapping[str, Callable[[SessionId, Any], Translated]] = {
    "offer": lambda session, request: ClientOffer(session, request.sdp, request.id),
    "answer": lambda session, request: ClientAnswer(session, request.sdp, request.id),
    "trickle": _trickle,
    "add_track": to_add_track,
    "mute": _mute,
    "subscription": _subscription,
    "track_setting": _track_setting,
    "leave": _leave,
    "sync_state": _sync_state,
    "simulate": _simulate,
    "subscription_permission": _subscription_permission,
    "update_metadata": _metadata,
    "update_audio_track": _audio_track,
    "update_video_track": _video_track,
    "publish_data_track_request": data_requests.publish,
    "unpublish_data_track_request": data_requests.unpublish,
    "update_data_subscription": data_requests.update_subscription,
    "store_data_blob_request": data_requests.store_blob,
    "get_data_blob_request": data_requests.get_blob,
}
