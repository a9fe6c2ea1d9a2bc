"""Twirp v7: calls of the server API over POST, in protobuf or JSON (protocol.md §6).

Owns the framing: routes, content types, decoding, encoding, errors as JSON, and the order of the checks: token, grant,
then anything that could tell whether something exists. Never knows what a call does: services are handed in as tables.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from sfu.errors import ErrorCode, SfuError
from signaling.http.grants import grant_name
from signaling.refusal import HTTP_STATUS, Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

    from auth.grants import Claims
    from signaling.admission import Admission

__all__ = ["Call", "Rpc", "Service", "TwirpEdge", "to_json"]

_FOLDER = "/twirp/"
_PACKAGE = "livekit."
_JSON = "application/json"
_PROTOBUF = ("application/protobuf", "application/x-protobuf")
_MAX_SHOWN = 100
_LETTERS = string.ascii_letters + string.digits
_BASE64 = tuple((_LETTERS + others).encode() for others in ("+/", "-_"))
_MAX_PADDING = 2
_OWN_STATUS = {"bad_route": 404, "malformed": 400}
"""Twirp's own codes, which no part of ours uses."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that may be carried out."""

    claims: Claims
    request: Any
    """The decoded message, of the method's input type."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method: who may call it, and what it does."""

    grant: Callable[[Claims], bool]
    """Looked at before the body is read."""
    concerns: Callable[[Claims, Any], bool]
    """Looked at once the request is known: whether the grant is for this room."""
    action: Callable[[Call], Awaitable[Message]]
    quiet: bool = False
    """Whether only refusals are logged: it changes nothing, or comes in numbers."""


@dataclass(frozen=True, slots=True)
class Service:
    """A Twirp service: its schema and its methods."""

    descriptor: ServiceDescriptor
    rpcs: Mapping[str, Rpc]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who calls, and what the log will say of the call."""

    claims: Claims | None
    said: dict[str, object]


class _Failure(Exception):
    """An answer that is an error."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class TwirpEdge:
    """Answers everything below `/twirp/`."""

    def __init__(self, admission: Admission, services: Iterable[Service]) -> None:
        self._admission = admission
        self._services = {service.descriptor.name: service for service in services}
        self.answered: Counter[tuple[str, str, int, str]] = Counter()
        """Calls by service, method (both empty: no such route), HTTP status and Twirp code (empty: success)."""

    async def respond(self, request: web.Request, path: str) -> web.Response:
        """The whole of a call.

        Args:
            request: As it came.
            path: From `/twirp/` on, without a base path.

        Raises:
            Refusal: The token is no good (protocol.md §1.3).
        """
        try:
            claims = self._admission.claims(request.headers, request.query)
        except Refusal as refusal:
            _log.info(
                "call refused", path=path[:_MAX_SHOWN], status=refusal.status, reason=refusal.text, **refusal.about
            )
            raise
        names = ("", "")
        said: dict[str, object] = {"api_key": claims.api_key} if claims else {}
        try:
            service, method, rpc = self._route(request, path)
            names = (service.descriptor.name, method.name)
            response = await self._call(request, method, rpc, _Asker(claims, said))
            self.answered[(*names, 200, "")] += 1
            if not rpc.quiet:
                _log.info("call", service=names[0], method=names[1], status=200, **said)
        except SfuError as error:
            response = self._failed(names, error.code.value, error.message, HTTP_STATUS[error.code], said)
        except _Failure as failure:
            response = self._failed(names, failure.code, failure.message, failure.status, said)
        return response

    # ------------------------------------------------------------ steps

    def _route(self, request: web.Request, path: str) -> tuple[Service, MethodDescriptor, Rpc]:
        service_name, _, method_name = path.removeprefix(_FOLDER).partition("/")
        service = self._services.get(service_name.removeprefix(_PACKAGE))
        known = service_name.startswith(_PACKAGE) and service is not None and method_name in service.rpcs
        if not known or service is None:
            raise _bad_route(f"no handler for path {json.dumps(path[:_MAX_SHOWN])}")
        if request.method != "POST":
            raise _bad_route(f'unsupported method "{request.method}" (only POST is allowed)')
        if request.content_type not in (_JSON, *_PROTOBUF):
            raise _bad_route(f"unexpected Content-Type: {json.dumps(request.content_type[:_MAX_SHOWN])}")
        return service, service.descriptor.methods_by_name[method_name], service.rpcs[method_name]

    async def _call(self, request: web.Request, method: MethodDescriptor, rpc: Rpc, asker: _Asker) -> web.Response:
        claims = asker.claims
        if claims is None or not rpc.grant(claims):
            asker.said["missing_grant"] = grant_name(rpc.grant)
            raise _unauthenticated()
        is_json = request.content_type == _JSON
        message = _decode(await _body(request), method, is_json=is_json)
        asker.said.update(_room_of(message))
        if not rpc.concerns(claims, message):
            asker.said["missing_grant"] = f"{grant_name(rpc.grant)} of this room"
            raise _unauthenticated()
        answer = await rpc.action(Call(claims, message))
        if is_json:
            return web.Response(text=json.dumps(to_json(answer), ensure_ascii=False), content_type=_JSON)
        return web.Response(body=answer.SerializeToString(), content_type=_PROTOBUF[0])

    def _failed(
        self, names: tuple[str, str], code: str, message: str, status: int, said: Mapping[str, object]
    ) -> web.Response:
        self.answered[(*names, status, code)] += 1
        is_ours = status >= HTTP_STATUS[ErrorCode.INTERNAL] and code != ErrorCode.UNIMPLEMENTED.value
        log = _log.warning if is_ours else _log.info
        phrase = "call failed" if is_ours else "call refused"
        log(phrase, service=names[0], method=names[1], status=status, code=code, reason=message, **said)
        return web.json_response({"code": code, "msg": message}, status=status)


# ---------------------------------------------------------------- bodies


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        text = f"the request has more than {request.client_max_size} bytes"
        raise SfuError(ErrorCode.RESOURCE_EXHAUSTED, text) from None


def _room_of(message: Message) -> dict[str, object]:
    """The room that a request names, for the log."""
    fields = message.DESCRIPTOR.fields_by_name
    name = next((name for name in ("room", "room_name") if name in fields), "")
    if not name and message.DESCRIPTOR.name == "CreateRoomRequest":
        name = "name"
    room = getattr(message, name) if name else ""
    return {"room": room[:_MAX_SHOWN]} if isinstance(room, str) and room else {}


def _decode(body: bytes, method: MethodDescriptor, *, is_json: bool) -> Message:
    message = GetMessageClass(method.input_type)()
    try:
        if is_json:
            fields = _json_object(body)
            _check_bytes(fields, message)
            json_format.ParseDict(fields, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError):
        form = "json" if is_json else "protobuf"
        raise _Failure("malformed", f"the {form} request could not be decoded", _OWN_STATUS["malformed"]) from None
    return message


def _json_object(body: bytes) -> dict[str, Any]:
    fields = json.loads(body or b"{}")
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    return fields


def _check_bytes(fields: Mapping[str, Any], message: Message) -> None:
    """Refuses bytes that are no base64: `json_format` reads them as Python does, past every character that is none.

    No request has bytes further inside.

    Raises:
        ValueError: They are none.
    """
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_BYTES:
            for text in (fields.get(field.name), fields.get(field.json_name)):
                if isinstance(text, str) and not _is_base64(text):
                    raise ValueError(f"{field.name} is no base64")


def _is_base64(text: str) -> bool:
    """As the reference reads it: one of both alphabets, with all of its padding or none, and with line breaks."""
    text = text.replace("\r", "").replace("\n", "")
    body = text.rstrip("=").encode()
    padding = len(text) - len(body)
    length_fits = padding <= _MAX_PADDING and len(text) % 4 == 0 if padding else len(body) % 4 != 1
    return length_fits and any(not body.translate(None, alphabet) for alphabet in _BASE64)


def to_json(message: Message) -> dict[str, Any]:
    """`message` as the reference prints it: proto names, all fields, absent messages as null, int64 as text."""
    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _with_nulls(message, fields)


def _with_nulls(message: Message, fields: dict[str, Any]) -> dict[str, Any]:
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        printed = fields.get(field.name)
        if isinstance(printed, list):
            for element, entry in zip(getattr(message, field.name), printed, strict=True):
                _with_nulls(element, entry)
        elif isinstance(printed, dict):
            _with_nulls(getattr(message, field.name), printed)
        elif field.containing_oneof is None:
            fields[field.name] = None
    return fields


# ---------------------------------------------------------------- refusals


def _bad_route(message: str) -> _Failure:
    return _Failure("bad_route", message, _OWN_STATUS["bad_route"])


def _unauthenticated() -> SfuError:
    return SfuError(ErrorCode.UNAUTHENTICATED, "permissions denied")
