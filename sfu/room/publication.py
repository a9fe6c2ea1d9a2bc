"""A track that a participant offers to the room, from its announcement to its end.

Owns what `TrackInfo` tells of it and how its lines are bound. Never decides whether it may exist: that is `publishing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sfu.room.codecs import OPUS, RED, choose_video, mime_of
from sfu.room.devices import obeys_codec_order
from sfu.room.effects import PublishLine
from sfu.room.enums import AudioFeature, BackupCodecPolicy, TrackSource, TrackType, VideoQuality
from sfu.room.published_codec import PublishedCodec
from sfu.room.texts import fitting
from sfu.room.views import CodecView, LayerView, TrackView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    """Pending (announced, `codecs` is empty) until an offer carries it; then live until it is closed."""

    owner: Participant
    cid: str
    view: TrackView
    """What the wire sees; replaced as a whole by `change`."""
    codecs: list[PublishedCodec] = field(default_factory=list)
    """Those that it comes or may come in, as `view.codecs`: its own first, then backups."""
    regressed: bool = False
    """The first backup is for all subscribers that can take it."""
    subscriptions: dict[ParticipantId, Subscription] = field(default_factory=dict)
    muted_by_server: bool = False
    """An administrator muted it last."""
    subscribed_at_s: float | None = None
    """When `track_subscribed` was due, sent or not (monotonic); `None`: nobody has subscribed yet."""
    told_qualities: dict[PublishedCodec, VideoQuality] = field(default_factory=dict)
    """What its publisher heard last of the qualities that are watched; empty: nothing yet."""

    @property
    def sid(self) -> TrackSid:
        """`TR_…`"""
        return self.view.sid

    @property
    def type(self) -> TrackType:
        """Audio or video."""
        return self.view.type

    @property
    def up_track(self) -> UpTrackId | None:
        """That of its own codec; `None` while it is pending."""
        return self.codecs[0].up_track if self.codecs else None

    @property
    def mid(self) -> str:
        """The line of its own codec; empty while it is pending."""
        return self.codecs[0].mid if self.codecs else ""

    @property
    def stream_id(self) -> str:
        """`msid` stream id at subscribers (protocol.md §4.2)."""
        return f"{self.owner.sid}|{self.sid}"

    def change(self, now: Now, **fields: object) -> None:
        """Replaces fields of the view; owner and track get new versions."""
        self.view = replace(self.view, **fields, version_us=now.wall_us)  # type: ignore[arg-type]
        if self.codecs:
            self.owner.touch()

    def is_known_as(self, name: str) -> bool:
        """Whether `name` is a client id that its announcement carried."""
        return bool(name) and (name == self.cid or any(name == codec.cid for codec in self.view.codecs))

    def live_codecs(self) -> list[PublishedCodec]:
        """Those that a line carries."""
        return [codec for codec in self.codecs if codec.live]

    def codecs_in_order(self) -> list[PublishedCodec]:
        """The one to prefer for subscribers first."""
        if not self.regressed:
            return self.codecs
        own, target, *others = self.codecs
        return [target, own, *others]

    def regression_target(self, participants: int, threshold: int) -> PublishedCodec | None:
        """The backup that all subscribers shall move to once it is live, if that is wanted (protocol.md §4.10).

        `threshold`: a room with fewer participants regresses where the publisher leaves it open; 0: any room.
        """
        policy = self.view.backup_codec_policy
        is_small = threshold == 0 or participants < threshold
        wants = policy == BackupCodecPolicy.REGRESSION or (policy == BackupCodecPolicy.PREFER_REGRESSION and is_small)
        return self.codecs[1] if wants and len(self.codecs) > 1 and self.type is TrackType.VIDEO else None

    def go_live(self, media: OfferedMedia, enabled: Sequence[str], now: Now) -> None:
        """Binds it to the m-line that carries it; `enabled` are the codecs that its owner may publish."""
        mime = self._mime_in(media, enabled)
        announced = self.view.codecs or (CodecView(mime, cid=self.cid, layers=self.view.layers),)
        first = replace(announced[0], mime_type=mime or announced[0].mime_type)
        backups = [codec for codec in announced[1:] if codec.mime_type != first.mime_type]
        own = PublishedCodec(self.type, first.mime_type, first.cid or self.cid, self.view.layers)
        backups = [replace(codec, cid="" if codec.cid == own.cid else codec.cid) for codec in backups]
        self.codecs = [own, *(PublishedCodec(self.type, c.mime_type, c.cid, c.layers) for c in backups)]
        rids = media.rids if len(media.rids) > 1 else ()
        self.change(
            now,
            mime_type=mime,
            simulcast=bool(rids),
            layers=_with_rids(self.view.layers, rids),
            codecs=(first, *backups),
        )
        own.layers = self.view.layers
        self.carry(own, media, now)

    def carry(self, codec: PublishedCodec, media: OfferedMedia, now: Now) -> None:
        """A line carries one of its codecs."""
        codec.go_live(media)
        view = self.view_of(codec)
        rids = media.rids if len(media.rids) > 1 else ()
        layers = _with_rids(view.layers or codec.layers, rids)
        if codec is not self.codecs[0]:
            codec.layers = layers
        sdp_cid = "" if self.is_known_as(media.track_id) else fitting(media.track_id)
        self.change_codec(codec, now, mid=media.mid, sdp_cid=sdp_cid, layers=layers)

    def drop(self, codec: PublishedCodec, now: Now) -> UpTrackId:
        """No line carries a backup any more; the up track that is to be closed."""
        closed = codec.go_dark()
        self.told_qualities.pop(codec, None)
        self.regressed = self.regressed and codec is not self.codecs[1]
        self.change_codec(codec, now, mid="", cid="", sdp_cid="")
        return closed

    def expect(self, codec: PublishedCodec, cid: str, layers: tuple[LayerView, ...], now: Now) -> None:
        """The client is about to publish one of the backups under a name of its own."""
        codec.cid = cid
        codec.layers = layers or codec.layers
        self.change_codec(codec, now, cid=cid, layers=codec.layers)

    def view_of(self, codec: PublishedCodec) -> CodecView:
        """What the wire sees of one of its codecs."""
        return self.view.codecs[self.codecs.index(codec)]

    def change_codec(self, codec: PublishedCodec, now: Now, **fields: object) -> None:
        """Replaces fields of what the wire sees of a codec; of the first one they are the track's, too."""
        index = self.codecs.index(codec)
        codecs = list(self.view.codecs)
        codecs[index] = replace(codecs[index], **fields)  # type: ignore[arg-type]
        of_track = {name: value for name, value in fields.items() if name in ("mid", "mime_type")} if index == 0 else {}
        self.change(now, codecs=tuple(codecs), **of_track)

    def lines(self, sending: Mapping[str, OfferedMedia], sif_trailer: bytes) -> list[PublishLine]:
        """How its m-lines are answered, its own codec's first; `sif_trailer` is the room's."""
        return [self._line(codec, sending[codec.mid], sif_trailer) for codec in self.live_codecs()]

    def _line(self, codec: PublishedCodec, media: OfferedMedia, sif_trailer: bytes) -> PublishLine:
        view = self.view
        is_video = view.type is TrackType.VIDEO
        return PublishLine(
            mid=codec.mid,
            up_track=codec.up_track,
            codec=codec.mime_type or None if is_video else None,
            codec_only=is_video and not obeys_codec_order(self.owner.session.client),
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
            layers=(offered.layers or request.layers) if request.type is TrackType.VIDEO else (),
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
        replace(layer, spatial_layer=index, rid=layer.rid or (fitting(rids[index]) if index < len(rids) else ""))
        for index, layer in enumerate(ordered)
    )
