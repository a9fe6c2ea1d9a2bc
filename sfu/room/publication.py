"""A track that a participant offers to the room, from its announcement to its end.

Owns what `TrackInfo` tells of it and how its m-line is bound. Never decides whether it may exist: that is `publishing`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sfu.room.codecs import OPUS, RED, choose_video, mime_of
from sfu.room.effects import PublishLine
from sfu.room.enums import AudioFeature, TrackSource, TrackType, VideoQuality
from sfu.room.views import CodecView, LayerView, TrackView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.ids import ParticipantId, TrackSid, UpTrackId
    from sfu.room.inputs import AddTrack, OfferedMedia
    from sfu.room.participant import Participant
    from sfu.room.settings import Now
    from sfu.room.subscription import Subscription

__all__ = ["Publication"]

_STREAMS = {
    TrackSource.CAMERA: "camera",
    TrackSource.MICROPHONE: "camera",
    TrackSource.SCREEN_SHARE: "screen",
    TrackSource.SCREEN_SHARE_AUDIO: "screen",
}
_SCALABLE = ("video/VP9", "video/AV1")
_ONE_LAYER_PER_STREAM = 1
"""`VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM`."""


@dataclass(slots=True, eq=False)
class Publication:
    """Pending (announced, `up_track` is `None`) until an offer carries it; then live until it is closed."""

    owner: Participant
    cid: str
    view: TrackView
    """What the wire sees; replaced as a whole by `change`."""
    up_track: UpTrackId | None = None
    mid: str = ""
    sdp_track_id: str = ""
    """Track id in the SDP, which some clients rewrite: how a line is known again."""
    subscriptions: dict[ParticipantId, Subscription] = field(default_factory=dict)
    watchers: Counter[VideoQuality] = field(default_factory=Counter)
    """How many subscribers are to get each quality."""
    muted_by_server: bool = False
    """An administrator muted it last."""
    subscriber_told: bool = False
    """`track_subscribed` was sent."""
    told_quality: VideoQuality | None = None
    """What its publisher heard last of the quality that is watched; `None`: nothing yet."""

    @property
    def sid(self) -> TrackSid:
        """`TR_…`"""
        return self.view.sid

    @property
    def type(self) -> TrackType:
        """Audio or video."""
        return self.view.type

    @property
    def stream_id(self) -> str:
        """`msid` stream id at subscribers (protocol.md §4.2)."""
        return f"{self.owner.sid}|{self.sid}"

    def change(self, now: Now, **fields: object) -> None:
        """Replaces fields of the view; owner and track get new versions."""
        self.view = replace(self.view, **fields, version_us=now.wall_us)  # type: ignore[arg-type]
        if self.up_track is not None:
            self.owner.touch()

    def is_known_as(self, name: str) -> bool:
        """Whether `name` is a client id that its announcement carried."""
        return bool(name) and (name == self.cid or any(name == codec.cid for codec in self.view.codecs))

    def go_live(self, up_track: UpTrackId, media: OfferedMedia, enabled: Sequence[str], now: Now) -> None:
        """Binds it to the m-line that carries it; `enabled` are the room's codecs."""
        self.up_track = up_track
        self.mid = media.mid
        self.sdp_track_id = media.track_id
        mime = self._mime_in(media, enabled)
        codecs = self.view.codecs or (CodecView(mime, cid=self.cid, layers=self.view.layers),)
        first = codecs[0]
        rids = media.rids if len(media.rids) > 1 else ()
        first = replace(
            first,
            mime_type=mime or first.mime_type,
            mid=media.mid,
            sdp_cid="" if self.is_known_as(media.track_id) else media.track_id,
            layers=_with_rids(first.layers or self.view.layers, rids),
        )
        self.change(
            now,
            mime_type=mime,
            mid=media.mid,
            simulcast=bool(rids),
            layers=_with_rids(self.view.layers, rids),
            codecs=(first, *codecs[1:]),
        )

    def line(self, media: OfferedMedia, sif_trailer: bytes) -> PublishLine:
        """How its m-line is answered; `sif_trailer` is the room's. Only for live publications."""
        if self.up_track is None:
            raise ValueError(f"{self.sid} is not live")
        view = self.view
        return PublishLine(
            mid=self.mid,
            up_track=self.up_track,
            codec=view.mime_type or None if view.type is TrackType.VIDEO else None,
            dtx=not view.disable_dtx,
            stereo=view.stereo,
            red=not view.disable_red and RED in media.mime_types,
            speaker=view.source is TrackSource.MICROPHONE,
            muted=view.muted,
            trailer=sif_trailer if view.encryption else b"",
        )

    def _mime_in(self, media: OfferedMedia, enabled: Sequence[str]) -> str:
        offered = media.mime_types
        if self.type is TrackType.AUDIO:
            audio = [mime for mime in offered if mime in enabled] or list(offered)
            if RED in audio and not self.view.disable_red:
                return RED
            return next((mime for mime in audio if mime != RED), OPUS)
        chosen = choose_video(self.view.codecs[0].mime_type if self.view.codecs else "", enabled)
        if chosen in offered:
            return chosen
        return next((mime for mime in offered if mime in enabled), next(iter(offered), chosen))


def announced(owner: Participant, request: AddTrack, sid: TrackSid, enabled: Sequence[str], now: Now) -> Publication:
    """The publication that `add_track` announces, with all of its flags; disabled codecs are substituted."""
    features = set(request.audio_features)
    if request.type is TrackType.AUDIO:
        features |= {int(AudioFeature.STEREO)} if request.stereo else set()
        features |= {int(AudioFeature.NO_DTX)} if request.disable_dtx else set()
    codecs = tuple(_codecs_of(request, enabled))
    layers = request.layers or (codecs[0].layers if codecs else ())
    view = TrackView(
        sid=sid,
        type=request.type,
        source=request.source,
        name=request.name,
        muted=request.muted,
        width=request.width,
        height=request.height,
        simulcast=_is_simulcast(request, layers, codecs),
        disable_dtx=int(AudioFeature.NO_DTX) in features or request.disable_dtx,
        layers=layers or _single_layer(request),
        mime_type=_provisional_mime(request, codecs),
        codecs=codecs,
        stereo=int(AudioFeature.STEREO) in features,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream or _STREAMS.get(request.source, "unknown"),
        version_us=now.wall_us,
        audio_features=tuple(sorted(features)),
        backup_codec_policy=request.backup_codec_policy,
        packet_trailer_features=request.packet_trailer_features,
    )
    return Publication(owner, request.cid, view)


def _codecs_of(request: AddTrack, enabled: Sequence[str]) -> Iterable[CodecView]:
    seen: set[str] = set()
    for offered in request.codecs:
        mime = mime_of(request.type, offered.codec)
        if request.type is TrackType.VIDEO:
            mime = choose_video(mime, enabled)
        if not mime or mime in seen:
            continue
        seen.add(mime)
        yield CodecView(
            mime_type=mime,
            cid=offered.cid,
            layers=offered.layers or request.layers,
            video_layer_mode=offered.video_layer_mode,
        )


def _provisional_mime(request: AddTrack, codecs: Sequence[CodecView]) -> str:
    """Before the offer tells: what the announcement makes likely."""
    if codecs:
        return codecs[0].mime_type
    if request.type is TrackType.AUDIO:
        return OPUS if request.disable_red else RED
    return ""


def _is_simulcast(request: AddTrack, layers: Sequence[LayerView], codecs: Sequence[CodecView]) -> bool:
    if request.type is not TrackType.VIDEO or len(layers) < 2:
        return False
    return not codecs or codecs[0].video_layer_mode == _ONE_LAYER_PER_STREAM or codecs[0].mime_type not in _SCALABLE


def _single_layer(request: AddTrack) -> tuple[LayerView, ...]:
    if request.type is not TrackType.VIDEO:
        return ()
    return (LayerView(VideoQuality.HIGH, request.width, request.height),)


def _with_rids(layers: tuple[LayerView, ...], rids: Sequence[str]) -> tuple[LayerView, ...]:
    """Layers rise by quality; the position among the rids names the encoding (protocol.md §4.2)."""
    ordered = sorted(layers, key=lambda layer: layer.quality)
    return tuple(
        replace(layer, spatial_layer=index, rid=layer.rid or (rids[index] if index < len(rids) else ""))
        for index, layer in enumerate(ordered)
    )
