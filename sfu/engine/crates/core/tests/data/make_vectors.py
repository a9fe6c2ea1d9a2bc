"""Writes `vectors.txt`: data packets as participants send them, and what the server must make of them.

The rules are applied here to decoded messages (package `livekit-protocol`), independently of the engine, which patches
encoded ones. Run by hand when the rules or the messages change:

    python tests/data/make_vectors.py > tests/data/vectors.txt

Columns, separated by tabs: name, channel, sender (`user`, `hidden`, `agent`, `muzzled`), packet, outcome (`ok` or a
drop reason), packet sent on, destination identities, destination sids (comma separated), sequence, nonce. Bytes in hex.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from livekit.protocol import metrics, models

IDENTITY, SID = "alice", "PA_alice"
AGENT_IDENTITY, AGENT_SID = "agent-1", "PA_agent"


@dataclass(frozen=True)
class Case:
    name: str
    channel: str
    sender: str
    packet: bytes


def user_packet(**fields: object) -> models.UserPacket:
    return models.UserPacket(payload=b"\x00\xff payload", topic="t\u00f6pic", **fields)


def contents() -> Iterator[tuple[str, models.DataPacket]]:
    """One packet of every kind."""
    stream = models.DataStream
    text = stream.Header(
        stream_id="s1",
        timestamp=5,
        topic="lk.chat",
        mime_type="text/plain",
        attributes={"k": "v", "\u00e4": ""},
        text_header=stream.TextHeader(version=1, reply_to_stream_id="s0", attached_stream_ids=["a", "b"]),
    )
    file = stream.Header(stream_id="s2", total_length=1 << 40, byte_header=stream.ByteHeader(name="f"))
    yield "user", models.DataPacket(user=user_packet(id="id", start_time=1, end_time=2, nonce=bytes(range(16))))
    yield "user_empty", models.DataPacket(user=models.UserPacket())
    yield "speaker", models.DataPacket(speaker=models.ActiveSpeakerUpdate(speakers=[models.SpeakerInfo(sid="PA_x")]))
    yield "sip_dtmf", models.DataPacket(sip_dtmf=models.SipDTMF(code=1, digit="1"))
    segment = models.TranscriptionSegment(id="1", text="hi", start_time=1, final=True, language="en")
    yield (
        "transcription",
        models.DataPacket(
            transcription=models.Transcription(
                transcribed_participant_identity="bob", track_id="TR_1", segments=[segment]
            )
        ),
    )
    yield "metrics", models.DataPacket(metrics=metrics.MetricsBatch(timestamp_ms=1, str_data=["x"]))
    yield (
        "chat",
        models.DataPacket(chat_message=models.ChatMessage(id="c", timestamp=-1, message="hello", deleted=True)),
    )
    rpc = models.RpcRequest(id="r", method="m", payload="p", response_timeout_ms=1000, version=1)
    yield "rpc_request", models.DataPacket(rpc_request=rpc)
    yield "rpc_ack", models.DataPacket(rpc_ack=models.RpcAck(request_id="r"))
    error = models.RpcError(code=1500, message="m", data="d")
    yield "rpc_response", models.DataPacket(rpc_response=models.RpcResponse(request_id="r", error=error))
    yield "text_header", models.DataPacket(stream_header=text)
    yield "byte_header", models.DataPacket(stream_header=file)
    chunk = stream.Chunk(stream_id="s1", chunk_index=3, content=b"\xff" * 300)
    yield "stream_chunk", models.DataPacket(stream_chunk=chunk)
    yield "stream_trailer", models.DataPacket(stream_trailer=stream.Trailer(stream_id="s1", attributes={"a": "b"}))
    encrypted = models.EncryptedPacket(iv=b"\x01" * 12, key_index=2, encrypted_value=b"\x80\x81")
    yield "encrypted", models.DataPacket(encrypted_packet=encrypted)


def cases() -> Iterator[Case]:
    for name, content in contents():
        for sender in ("user", "hidden", "agent", "muzzled"):
            yield Case(name, "reliable", sender, content.SerializeToString(deterministic=True))
        for claimed in ("bob", AGENT_IDENTITY):
            packet = models.DataPacket(kind=1, participant_identity=claimed, participant_sid="PA_bob", sequence=7)
            packet.MergeFrom(content)
            for sender in ("user", "hidden", "agent"):
                yield Case(f"{name}_as_{claimed}", "lossy", sender, packet.SerializeToString(deterministic=True))
    both = models.DataPacket(user=user_packet(destination_identities=["carol"], destination_sids=["PA_d", "PA_e"]))
    yield Case("legacy_destinations", "reliable", "user", both.SerializeToString())
    both.destination_identities.extend(["bob", "b\u00f6b"])
    yield Case("packet_destinations_win", "reliable", "user", both.SerializeToString())
    chat = models.DataPacket(
        chat_message=models.ChatMessage(id="c"), destination_identities=["bob"], sequence=2**32 - 1
    )
    yield Case("chat_destinations", "reliable", "user", chat.SerializeToString())
    later = bytes([0xE2, 0x09, 3, 1, 2, 3])
    yield Case("content_of_the_future", "reliable", "user", later)
    yield Case("field_of_the_future", "reliable", "user", chat.SerializeToString() + later)
    yield Case("nothing", "reliable", "user", b"")
    yield Case("no_content", "reliable", "user", models.DataPacket(sequence=1).SerializeToString())
    yield Case("two_contents", "reliable", "user", chat.SerializeToString() + both.SerializeToString())
    yield Case("truncated", "reliable", "user", chat.SerializeToString()[:-1])
    yield Case("bad_text", "reliable", "user", b"\x22\x01\xff" + chat.SerializeToString())


def outcome(case: Case, packet: models.DataPacket | None) -> str:
    if case.sender == "muzzled":
        return "data_not_permitted"
    if packet is None or case.name in ("nothing", "no_content", "two_contents", "truncated", "bad_text"):
        return "malformed_data"
    match packet.WhichOneof("value"):
        case "transcription" if case.sender != "agent":
            return "transcription_not_permitted"
        case "metrics" | "speaker":
            return "data_kind_not_forwarded"
    return "ok"


def is_on_behalf(case: Case, packet: models.DataPacket) -> bool:
    if case.sender != "agent" or packet.participant_identity in ("", AGENT_IDENTITY):
        return False
    is_text = packet.HasField("stream_header") and packet.stream_header.HasField("text_header")
    return packet.HasField("chat_message") or is_text


def apply(case: Case, packet: models.DataPacket) -> None:
    """Makes of a packet what the server must send on."""
    identity, sid = {"agent": (AGENT_IDENTITY, AGENT_SID), "hidden": ("", "")}.get(case.sender, (IDENTITY, SID))
    packet.kind = models.DataPacket.LOSSY if case.channel == "lossy" else models.DataPacket.RELIABLE
    packet.participant_sid = sid
    if is_on_behalf(case, packet):
        if packet.HasField("chat_message"):
            packet.chat_message.generated = True
        else:
            packet.stream_header.text_header.generated = True
    else:
        packet.participant_identity = identity
    if packet.HasField("user"):
        packet.user.participant_sid, packet.user.participant_identity = sid, identity
        destinations = list(packet.destination_identities) or list(packet.user.destination_identities)
        del packet.destination_identities[:], packet.user.destination_identities[:]
        packet.destination_identities.extend(destinations)
        packet.user.destination_identities.extend(destinations)


def main() -> None:
    for case in cases():
        packet = models.DataPacket()
        try:
            packet.ParseFromString(case.packet)
        except DecodeError:
            packet = None
        result = outcome(case, packet)
        columns = [case.name, case.channel, case.sender, case.packet.hex(), result]
        if packet is not None and result == "ok":
            apply(case, packet)
            encoded = packet.SerializeToString(deterministic=True)
            sids = ",".join(packet.user.destination_sids)
            nonce = packet.user.nonce.hex()
            columns += [encoded.hex(), ",".join(packet.destination_identities), sids, str(packet.sequence), nonce]
        sys.stdout.write("\t".join(columns) + "\n")


if __name__ == "__main__":
    main()
