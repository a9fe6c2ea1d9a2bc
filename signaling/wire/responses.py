"""The domain's messages as signal responses, in protobuf or JSON frames (protocol.md §3.2).

Owns what is the same for every client of this server (`ServerFacts`) and the encoding. One message is encoded once for
each frame format, however many sessions get it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from livekit.protocol import models, rtc

from sfu.room import messages as msg
from sfu.room.enums import LeaveAction, VideoQuality
from signaling.wire.views import (
    blob_key,
    data_track_info,
    participant_info,
    room_info,
    track_info,
    wire_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sfu.control.sinks import Outgoing
    from sfu.room.devices import DisabledCodecs

__all__ = ["IceServer", "ServerFacts", "WireEncoder"]

_PROTOCOL = 17
_AGENT_PROTOCOL = 1
_ECHOES = frozenset(field.name for field in rtc.RequestResponse.DESCRIPTOR.fields if field.message_type is not None)


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server that clients are to use."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What every `JoinResponse` says of the server (protocol.md §2.4)."""

    node_id: str
    """`ND_…`"""
    version: str = "1.13.7"
    """Level of LiveKit's server that we are compatible with; clients parse it as a semantic version and need 1.8, and
    above 1.13.6 for VP9 and AV1 in simulcast."""
    region: str = ""
    ice_servers: tuple[IceServer, ...] = ()
    ping_interval_s: int = 5
    ping_timeout_s: int = 10
    """The reference says 15; but then a client that lost its network would notice only when it is gone here."""


class WireEncoder:
    """Makes frames of messages."""

    def __init__(self, facts: ServerFacts) -> None:
        self._facts = facts
        self._ice_servers = [
            rtc.ICEServer(urls=server.urls, username=server.username, credential=server.credential)
            for server in facts.ice_servers
        ]
        self._server_info = models.ServerInfo(
            edition=models.ServerInfo.Edition.Standard,
            version=facts.version,
            protocol=_PROTOCOL,
            region=facts.region,
            node_id=facts.node_id,
            agent_protocol=_AGENT_PROTOCOL,
        )

    def frame(self, outgoing: Outgoing, *, text: bool) -> bytes | str:
        """The frame of a message: JSON text or protobuf; made once."""
        frame = outgoing.frames.get(text)
        if frame is None:
            response = self.response(outgoing.message)
            frame = (
                json_format.MessageToJson(response, indent=None, ensure_ascii=False)
                if text
                else response.SerializeToString()
            )
            outgoing.frames[text] = frame
        return frame

    def response(self, message: msg.Message) -> rtc.SignalResponse:
        """The message as LiveKit's."""
        if isinstance(message, msg.Joined):
            return rtc.SignalResponse(join=self._join(message))
        if isinstance(message, msg.Reconnected):
            return rtc.SignalResponse(reconnect=self._reconnect(message))
        return _RESPONSES[type(message)](message)

    def _join(self, message: msg.Joined) -> rtc.JoinResponse:
        facts = self._facts
        return rtc.JoinResponse(
            room=room_info(message.room),
            participant=participant_info(message.participant),
            other_participants=[participant_info(view) for view in message.other_participants],
            server_version=facts.version,
            ice_servers=self._ice_servers,
            subscriber_primary=message.subscriber_primary,
            client_configuration=_client_configuration(message.disabled_codecs),
            server_region=facts.region,
            ping_timeout=facts.ping_timeout_s,
            ping_interval=facts.ping_interval_s,
            server_info=self._server_info,
            sif_trailer=message.sif_trailer,
            enabled_publish_codecs=[models.Codec(mime=mime) for mime in message.enabled_publish_codecs],
            fast_publish=message.fast_publish,
        )

    def _reconnect(self, message: msg.Reconnected) -> rtc.ReconnectResponse:
        return rtc.ReconnectResponse(
            ice_servers=self._ice_servers,
            server_info=self._server_info,
            client_configuration=_client_configuration(message.disabled_codecs),
            last_message_seq=message.last_message_seq,
        )


def _client_configuration(disabled: DisabledCodecs) -> models.ClientConfiguration | None:
    if not (disabled.everywhere or disabled.publish):
        return None
    codecs = models.DisabledCodecs(
        codecs=[models.Codec(mime=mime) for mime in disabled.everywhere],
        publish=[models.Codec(mime=mime) for mime in disabled.publish],
    )
    return models.ClientConfiguration(disabled_codecs=codecs)


def _description(kind: str, message: msg.Answer | msg.Offer) -> rtc.SessionDescription:
    return rtc.SessionDescription(type=kind, sdp=message.sdp, id=message.id, mid_to_track_id=message.mid_to_track)


def _trickle(message: msg.Trickle) -> rtc.SignalResponse:
    init = {
        "candidate": message.candidate,
        "sdpMid": message.mid,
        "sdpMLineIndex": message.line,
        "usernameFragment": None,
    }
    return rtc.SignalResponse(
        trickle=rtc.TrickleRequest(
            candidateInit=json.dumps(init),
            target=rtc.SignalTarget.SUBSCRIBER if message.subscriber else rtc.SignalTarget.PUBLISHER,
            final=message.final,
        )
    )


def _leave(message: msg.Leave) -> rtc.SignalResponse:
    return rtc.SignalResponse(
        leave=rtc.LeaveRequest(
            # Clients older than protocol 13 read only this flag, newer ones only the action.
            can_reconnect=message.action is not LeaveAction.DISCONNECT,
            reason=wire_number(message.reason),
            action=wire_number(message.action),
        )
    )


def _speakers(message: msg.SpeakersChanged) -> rtc.SignalResponse:
    speakers = [
        models.SpeakerInfo(sid=speaker.sid, level=speaker.level, active=speaker.active) for speaker in message.speakers
    ]
    return rtc.SignalResponse(speakers_changed=rtc.SpeakersChanged(speakers=speakers))


def _connections(message: msg.ConnectionQualityUpdate) -> rtc.SignalResponse:
    updates = [
        rtc.ConnectionQualityInfo(participant_sid=view.sid, quality=wire_number(view.quality), score=view.score)
        for view in message.connections
    ]
    return rtc.SignalResponse(connection_quality=rtc.ConnectionQualityUpdate(updates=updates))


def _subscribed_qualities(message: msg.SubscribedQualityUpdate) -> rtc.SignalResponse:
    codecs = [
        rtc.SubscribedCodec(
            codec=codec.codec,
            qualities=[
                rtc.SubscribedQuality(quality=wire_number(quality), enabled=quality in codec.enabled)
                for quality in (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)
            ],
        )
        for codec in message.codecs
    ]
    return rtc.SignalResponse(
        subscribed_quality_update=rtc.SubscribedQualityUpdate(
            track_sid=message.track_sid,
            # Clients older than the list of codecs read the first one's qualities here.
            subscribed_qualities=codecs[0].qualities if codecs else (),
            subscribed_codecs=codecs,
        )
    )


def _stream_states(message: msg.StreamStateUpdate) -> rtc.SignalResponse:
    states = [
        rtc.StreamStateInfo(
            participant_sid=state.participant_sid,
            track_sid=state.track_sid,
            state=rtc.StreamState.PAUSED if state.paused else rtc.StreamState.ACTIVE,
        )
        for state in message.states
    ]
    return rtc.SignalResponse(stream_state_update=rtc.StreamStateUpdate(stream_states=states))


def _request_response(message: msg.RequestResponse) -> rtc.SignalResponse:
    answer = rtc.RequestResponse(
        request_id=message.request_id, reason=wire_number(message.reason), message=message.message
    )
    if message.echo is not None and message.echo.name in _ECHOES:
        getattr(answer, message.echo.name).CopyFrom(message.echo.request)
    return rtc.SignalResponse(request_response=answer)


def _update(views: Sequence[Any]) -> rtc.SignalResponse:
    return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[participant_info(view) for view in views]))


def _data_track_handles(message: msg.DataTrackHandles) -> rtc.SignalResponse:
    handles = {
        handle: rtc.DataTrackSubscriberHandles.PublishedDataTrack(
            publisher_identity=track.publisher_identity, publisher_sid=track.publisher_sid, track_sid=track.track_sid
        )
        for handle, track in message.handles.items()
    }
    return rtc.SignalResponse(data_track_subscriber_handles=rtc.DataTrackSubscriberHandles(sub_handles=handles))


def _data_blob(message: msg.DataBlobFound) -> rtc.SignalResponse:
    blob = models.DataBlob(key=blob_key(message.key), contents=message.contents)
    return rtc.SignalResponse(get_data_blob_response=rtc.GetDataBlobResponse(request_id=message.request_id, blob=blob))


_RESPONSES: Mapping[type[msg.Message], Callable[[Any], rtc.SignalResponse]] = {
    msg.Answer: lambda m: rtc.SignalResponse(answer=_description("answer", m)),
    msg.Offer: lambda m: rtc.SignalResponse(offer=_description("offer", m)),
    msg.Trickle: _trickle,
    msg.ParticipantUpdate: lambda m: _update(m.participants),
    msg.TrackPublished: lambda m: rtc.SignalResponse(
        track_published=rtc.TrackPublishedResponse(cid=m.cid, track=track_info(m.track))
    ),
    msg.TrackUnpublished: lambda m: rtc.SignalResponse(
        track_unpublished=rtc.TrackUnpublishedResponse(track_sid=m.track_sid)
    ),
    msg.TrackSubscribed: lambda m: rtc.SignalResponse(track_subscribed=rtc.TrackSubscribed(track_sid=m.track_sid)),
    msg.Leave: _leave,
    msg.Mute: lambda m: rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid=m.track_sid, muted=m.muted)),
    msg.SpeakersChanged: _speakers,
    msg.ConnectionQualityUpdate: _connections,
    msg.RoomUpdate: lambda m: rtc.SignalResponse(room_update=rtc.RoomUpdate(room=room_info(m.room))),
    msg.SubscribedQualityUpdate: _subscribed_qualities,
    msg.StreamStateUpdate: _stream_states,
    msg.SubscriptionPermissionUpdate: lambda m: rtc.SignalResponse(
        subscription_permission_update=rtc.SubscriptionPermissionUpdate(
            participant_sid=m.participant_sid, track_sid=m.track_sid, allowed=m.allowed
        )
    ),
    msg.SubscriptionResponse: lambda m: rtc.SignalResponse(
        subscription_response=rtc.SubscriptionResponse(track_sid=m.track_sid, err=wire_number(m.error))
    ),
    msg.RequestResponse: _request_response,
    msg.RefreshedToken: lambda m: rtc.SignalResponse(refresh_token=m.token),
    msg.MediaSectionsRequirement: lambda m: rtc.SignalResponse(
        media_sections_requirement=rtc.MediaSectionsRequirement(num_audios=m.num_audios, num_videos=m.num_videos)
    ),
    msg.DataTrackPublished: lambda m: rtc.SignalResponse(
        publish_data_track_response=rtc.PublishDataTrackResponse(info=data_track_info(m.track))
    ),
    msg.DataTrackUnpublished: lambda m: rtc.SignalResponse(
        unpublish_data_track_response=rtc.UnpublishDataTrackResponse(info=data_track_info(m.track))
    ),
    msg.DataTrackHandles: _data_track_handles,
    msg.DataBlobStored: lambda m: rtc.SignalResponse(
        store_data_blob_response=rtc.StoreDataBlobResponse(request_id=m.request_id, key=blob_key(m.key))
    ),
    msg.DataBlobFound: _data_blob,
    msg.Pong: lambda m: rtc.SignalResponse(pong=m.timestamp_ms),
    msg.PongResponse: lambda m: rtc.SignalResponse(
        pong_resp=rtc.Pong(last_ping_timestamp=m.last_ping_timestamp_ms, timestamp=m.timestamp_ms)
    ),
}
