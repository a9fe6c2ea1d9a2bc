"""`plenum token create`: an access token with any grant; flags as those of `lk token create` where it has them.

Owns the flags and their place in the claims. Never verifies: that is `auth.tokens`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from auth.grants import AgentGrants, Claims, SipGrants, VideoGrants
from auth.keys import KeyRing, mapping_source
from auth.tokens import TokenError, issue, verify
from plenum.startup import DEV_KEY, DEV_SECRET, Flags, StartupError, prepare
from sfu.config.base import Duration

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Make access tokens.")

_KINDS = ("standard", "ingress", "egress", "sip", "agent", "connector", "bridge")
_SOURCES = ("camera", "microphone", "screen_share", "screen_share_audio")


@app.callback()
def token() -> None:
    """Make access tokens."""


def _flag(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text)


def _file(text: str, *names: str) -> Any:
    """A path; whether it can be read is said in one line by who reads it."""
    return typer.Option(*names, help=text, readable=False)


@app.command("create")
def create(
    api_key: Annotated[str, typer.Option("--api-key", envvar="LIVEKIT_API_KEY", help="Key that signs.")] = "",
    api_secret: Annotated[str, typer.Option("--api-secret", envvar="LIVEKIT_API_SECRET", help="Its secret.")] = "",
    config: Annotated[Path | None, _file("Take the first key of this configuration.", "--config")] = None,
    dev: Annotated[bool, _flag("Use devkey/secret.", "--dev")] = False,
    valid_for: Annotated[str, _flag("Life of the token, such as 5m or 24h.", "--valid-for")] = "6h",
    identity: Annotated[str, _flag("Who it is for.", "--identity", "-i")] = "",
    name: Annotated[str, _flag("Name that others see.", "--name", "-n")] = "",
    room: Annotated[str, _flag("Room that the grants are about.", "--room", "-r")] = "",
    join: Annotated[bool, _flag("May join the room.", "--join")] = False,
    create_rooms: Annotated[bool, _flag("May create and delete rooms.", "--create")] = False,
    list_rooms: Annotated[bool, _flag("May list rooms.", "--list")] = False,
    admin: Annotated[bool, _flag("May administer the room.", "--admin")] = False,
    record: Annotated[bool, _flag("May record (egress).", "--record", "--egress")] = False,
    ingress: Annotated[bool, _flag("May administer ingress.", "--ingress")] = False,
    publish: Annotated[bool | None, _flag("May publish.", "--publish/--no-publish")] = None,
    subscribe: Annotated[bool | None, _flag("May subscribe.", "--subscribe/--no-subscribe")] = None,
    publish_data: Annotated[bool | None, _flag("May send data.", "--publish-data/--no-publish-data")] = None,
    allow_source: Annotated[list[str] | None, _flag("Publish only this source; repeat.", "--allow-source")] = None,
    allow_update_metadata: Annotated[bool, _flag("May change own metadata.", "--allow-update-metadata")] = False,
    subscribe_metrics: Annotated[bool, _flag("May subscribe to metrics.", "--subscribe-metrics")] = False,
    manage_agent_session: Annotated[bool, _flag("May manage agent sessions.", "--manage-agent-session")] = False,
    hidden: Annotated[bool, _flag("Invisible to others.", "--hidden")] = False,
    recorder: Annotated[bool, _flag("Is a recorder.", "--recorder")] = False,
    agent: Annotated[bool, _flag("May register as an agent worker.", "--agent")] = False,
    destination_room: Annotated[str, _flag("Room to forward to.", "--destination-room")] = "",
    kind: Annotated[str, _flag(f"One of {', '.join(_KINDS)}.", "--kind")] = "standard",
    metadata: Annotated[str, _flag("Metadata.", "--metadata")] = "",
    attribute: Annotated[list[str] | None, _flag("key=value; repeat.", "--attribute")] = None,
    attribute_file: Annotated[Path | None, _file("JSON object of attributes.", "--attribute-file")] = None,
    room_preset: Annotated[str, _flag("Preset for the room.", "--room-preset")] = "",
    room_configuration: Annotated[str, _flag("RoomConfiguration as JSON.", "--room-configuration")] = "",
    sha256: Annotated[str, _flag("Hash of a body that the token vouches for.", "--sha256")] = "",
    sip_admin: Annotated[bool, _flag("May administer SIP.", "--sip-admin")] = False,
    sip_call: Annotated[bool, _flag("May call out by SIP.", "--sip-call")] = False,
    agent_admin: Annotated[bool, _flag("May administer agents.", "--agent-admin")] = False,
    inference: Annotated[bool, _flag("May use inference.", "--inference")] = False,
    observability: Annotated[bool, _flag("May write observability data.", "--observability")] = False,
    grant: Annotated[str, _flag("More members of the video grant, as JSON.", "--grant")] = "",
) -> None:
    """Print an access token."""
    key, secret = _pair(api_key, api_secret, config, dev=dev)
    if join and not (identity and room):
        raise StartupError("--join needs --identity and --room")
    video = VideoGrants(
        room_create=create_rooms,
        room_list=list_rooms,
        room_record=record,
        room_admin=admin,
        room_join=join,
        room=room,
        ingress_admin=ingress,
        hidden=hidden,
        recorder=recorder,
        agent=agent,
        destination_room=destination_room,
        can_publish=publish,
        can_subscribe=subscribe,
        can_publish_data=publish_data,
        can_publish_sources=_one_of(_SOURCES, "--allow-source", *(allow_source or ())),
        can_update_own_metadata=allow_update_metadata or None,
        can_subscribe_metrics=subscribe_metrics or None,
        can_manage_agent_session=manage_agent_session or None,
    )
    claims = Claims(
        api_key=key,
        identity=identity,
        name=name,
        kind=_one_of(_KINDS, "--kind", kind)[0],
        metadata=metadata,
        attributes=_attributes(attribute or [], attribute_file),
        video=video,
        sip=SipGrants(sip_admin, sip_call) if sip_admin or sip_call else None,
        agent=AgentGrants(admin=True) if agent_admin else None,
        inference_perform=inference,
        observability_write=observability,
        room_config=_json_object(room_configuration, "--room-configuration") if room_configuration else None,
        room_preset=room_preset,
        sha256=sha256,
        extra={"video": _json_object(grant, "--grant")} if grant else {},
    )
    typer.echo(_signed(claims, secret, _ttl_s(valid_for)))


def _pair(api_key: str, api_secret: str, config: Path | None, *, dev: bool) -> tuple[str, str]:
    if dev:
        return DEV_KEY, DEV_SECRET
    if api_key and api_secret:
        return api_key, api_secret
    if config is None and not os.environ.get("LIVEKIT_KEYS"):
        raise StartupError("no key to sign with: give --api-key and --api-secret, --config or --dev")
    ring = prepare(Flags(config=config), os.environ).keys
    key = api_key or ring.api_keys[0]
    secret = ring.secret(key)
    if secret is None:
        raise StartupError(f"the configuration has no API key {key!r}")
    return key, secret


def _signed(claims: Claims, secret: str, ttl_s: float) -> str:
    now_s = time.time()
    text = issue(claims, secret, now_s=now_s, ttl_s=ttl_s)
    try:
        # `--grant` may say anything: a token that the server would refuse is refused here, with the reason.
        verify(text, KeyRing(mapping_source({claims.api_key: secret})), now_s)
    except TokenError as error:
        raise StartupError(error.message) from None
    return text


def _ttl_s(text: str) -> float:
    try:
        return TypeAdapter[float](Duration).validate_python(text)
    except ValidationError:
        raise StartupError(f"--valid-for {text!r} should be a duration such as 5m or 24h") from None


def _one_of(known: tuple[str, ...], flag: str, *values: str) -> tuple[str, ...]:
    for value in values:
        if value not in known:
            raise StartupError(f"{flag} {value!r} should be one of {', '.join(known)}")
    return values


def _attributes(pairs: list[str], file: Path | None) -> dict[str, str]:
    attributes: dict[str, str] = {}
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(f'--attribute-file "{file}" cannot be read: {error}') from None
        for key, value in _json_object(text, "--attribute-file").items():
            attributes[key] = value if isinstance(value, str) else json.dumps(value)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise StartupError(f"--attribute {pair!r} should be key=value")
        attributes[key] = value
    return attributes


def _json_object(text: str, flag: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StartupError(f"{flag} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise StartupError(f"{flag} should be a JSON object")
    return value
