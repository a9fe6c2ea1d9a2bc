"""Services of the server API that this server does not have (yet): Egress, Ingress, SIP, AgentDispatchService.

Owns their grants (protocol.md §6.2, §6.3): who may not call is told so, who may is told the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import agent_dispatch, egress, ingress, sip

from sfu.errors import ErrorCode, SfuError
from signaling.http.grants import (
    administers,
    administers_ingress,
    administers_sip,
    anything,
    calls_sip,
    of_room,
    records,
    transfers_sip,
)
from signaling.http.twirp import Rpc, Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.message import Message

    from signaling.http.twirp import Call

__all__ = ["unbuilt_services"]


def unbuilt_services() -> list[Service]:
    """One table each; every method of the schema is in it."""
    return [
        _service(egress.DESCRIPTOR.services_by_name["Egress"], lambda name, refuse: Rpc(records, anything, refuse)),
        _service(
            ingress.DESCRIPTOR.services_by_name["Ingress"],
            lambda name, refuse: Rpc(administers_ingress, anything, refuse),
        ),
        _service(sip.DESCRIPTOR.services_by_name["SIP"], _sip_rpc),
        _service(
            agent_dispatch.DESCRIPTOR.services_by_name["AgentDispatchService"],
            lambda name, refuse: Rpc(administers, of_room, refuse),
        ),
    ]


def _sip_rpc(name: str, refuse: Callable[[Call], Awaitable[Message]]) -> Rpc:
    if name == "CreateSIPParticipant":
        return Rpc(calls_sip, anything, refuse)
    if name == "TransferSIPParticipant":
        return Rpc(transfers_sip, of_room, refuse)
    return Rpc(administers_sip, anything, refuse)


def _service(
    descriptor: ServiceDescriptor, make: Callable[[str, Callable[[Call], Awaitable[Message]]], Rpc]
) -> Service:
    async def refuse(_: Call) -> Message:
        raise SfuError(ErrorCode.UNIMPLEMENTED, f"{descriptor.name} is not implemented by this server")

    return Service(descriptor, {method.name: make(method.name, refuse) for method in descriptor.methods})
