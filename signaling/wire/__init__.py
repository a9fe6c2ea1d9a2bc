"""LiveKit's messages on the wire: protobuf and JSON frames <-> the domain's values.

Owns every use of `livekit.protocol` for signalling. Never decides and never does I/O.
"""

from signaling.wire.data import ProtobufDataEncoder
from signaling.wire.requests import BadFrame, ReplyNow, Translated, parse_frame, to_add_track, translate
from signaling.wire.responses import ServerFacts, WireEncoder

__all__ = [
    "BadFrame",
    "ProtobufDataEncoder",
    "ReplyNow",
    "ServerFacts",
    "Translated",
    "WireEncoder",
    "parse_frame",
    "to_add_track",
    "translate",
]
