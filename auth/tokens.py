"""Access tokens: LiveKit's JWTs, verified and issued (protocol.md §7).

Owns the mapping between claims on the wire and `auth.grants`, the checks (HS256, issuer, times with one minute of
leeway) and the refusal texts of protocol.md §1.3. Never repeats a token in an error: it would end in logs and bodies.
Time is a parameter, so this module reads no clock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from auth.grants import AgentGrants, Claims, SipGrants, VideoGrants
from auth.keys import MIN_SECRET_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auth.keys import KeyProvider

__all__ = ["DEFAULT_TTL_S", "LEEWAY_S", "TokenError", "issue", "refresh", "verify"]

LEEWAY_S = 60.0
DEFAULT_TTL_S = 6 * 3600.0
MIN_REFRESH_TTL_S = 600.0

_ALGORITHM = "HS256"
_MAX_TOKEN_LENGTH = 64 * 1024
_MAX_SHOWN_KEY_LENGTH = 64

_Grants = TypeVar("_Grants", VideoGrants, SipGrants, AgentGrants)

# Top-level texts: wire name -> name in Claims.
_TEXTS = {"name": "name", "kind": "kind", "metadata": "metadata", "roomPreset": "room_preset", "sha256": "sha256"}
# Claims of the JWT itself and those that have their own code; everything else is kept in Claims.extra.
_OWN = {"iss", "sub", "jti", "nbf", "exp", "iat", "identity", "attributes", "kindDetails", "roomConfig"}


class TokenError(Exception):
    """A token that was refused; `message` is the body of a 401 and repeats nothing secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.about: dict[str, str] = {}
        """For the log: `api_key` as claimed; `participant` and `room` only when the signature was right."""


def verify(token: str, keys: KeyProvider, now_s: float) -> Claims:
    """Checks `token` and reads it.

    Args:
        token: Compact JWS.
        keys: Whose secrets count; the issuer picks one.
        now_s: Seconds since the epoch.

    Raises:
        TokenError: Not a token, an unknown key, a bad signature, outside its time, or a claim of the wrong type.
    """
    payload = _unverified(token)
    api_key = payload.get("iss")
    if not isinstance(api_key, str) or not api_key:
        raise TokenError("invalid authorization token")
    about = {"api_key": _shown(api_key)}
    try:
        _check_signature(token, api_key, keys)
        about |= _bearer(payload)
        _check_times(payload, now_s)
        return _claims(payload, api_key)
    except TokenError as error:
        error.about = about
        raise


def _check_signature(token: str, api_key: str, keys: KeyProvider) -> None:
    secret = keys.secret(api_key)
    if secret is None:
        raise TokenError(f"invalid API key: {_shown(api_key)}")
    try:
        with _short_secret_allowed(secret):
            jwt.api_jws.decode(token, secret, algorithms=[_ALGORITHM])
    except jwt.InvalidAlgorithmError:
        raise TokenError("invalid token, error: the algorithm is not HS256") from None
    except jwt.PyJWTError:
        raise TokenError("invalid token, error: the signature does not match the API key's secret") from None


def _bearer(payload: Mapping[str, Any]) -> dict[str, str]:
    """Who a token names and for which room, as far as it says so in texts."""
    video = payload.get("video")
    named = {"participant": payload.get("sub"), "room": video.get("room") if isinstance(video, dict) else None}
    return {name: _shown(value) for name, value in named.items() if isinstance(value, str) and value}


def issue(claims: Claims, secret: str, *, now_s: float, ttl_s: float = DEFAULT_TTL_S) -> str:
    """Signs `claims` as a new token, valid from now for `ttl_s`; `not_before_s` and `expires_at_s` are not used.

    Returns:
        Compact JWS with the issuer `claims.api_key`.
    """
    payload = _payload(claims)
    payload["nbf"] = int(now_s)
    payload["exp"] = int(now_s + ttl_s)
    with _short_secret_allowed(secret):
        return jwt.encode(payload, secret, algorithm=_ALGORITHM)


def refresh(claims: Claims, keys: KeyProvider, now_s: float) -> str | None:
    """A new token with the same claims, all of them, signed with the same key (protocol.md §5.5).

    Returns:
        The token, valid for what the old one had left but at least ten minutes; `None` when its key is gone.
    """
    secret = keys.secret(claims.api_key)
    if secret is None:
        return None
    remaining_s = 0.0 if claims.expires_at_s is None else claims.expires_at_s - now_s
    return issue(claims, secret, now_s=now_s, ttl_s=max(MIN_REFRESH_TTL_S, remaining_s))


@contextlib.contextmanager
def _short_secret_allowed(secret: str) -> Iterator[None]:
    """Keeps PyJWT from warning of a short secret: whether one is allowed was decided where keys are read."""
    if len(secret) >= MIN_SECRET_LENGTH:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        yield


def _unverified(token: str) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN_LENGTH:
        raise TokenError("invalid authorization token")
    try:
        parsed = jwt.api_jws.decode_complete(token, options={"verify_signature": False})
        payload = json.loads(parsed["payload"])
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenError("invalid authorization token") from None
    if not isinstance(payload, dict) or _has_lone_surrogate(parsed["payload"], payload):
        raise TokenError("invalid authorization token")
    return payload


def _has_lone_surrogate(text: bytes, payload: dict[str, Any]) -> bool:
    """Whether an escape such as `\\ud800` stands alone: no protobuf message could carry that text on."""
    if b"\\u" not in text:
        return False
    try:
        json.dumps(payload, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _shown(text: str) -> str:
    """A key or a name, made fit for a line of text: it comes from whoever wrote the token."""
    cut = text[:_MAX_SHOWN_KEY_LENGTH]
    return cut if cut.isprintable() else ascii(cut)


def _check_times(payload: Mapping[str, Any], now_s: float) -> None:
    expires_at_s = _number(payload, "exp")
    if expires_at_s is None:
        raise TokenError("invalid token, error: token has no expiry (exp)")
    if now_s - LEEWAY_S > expires_at_s:
        raise TokenError("invalid token, error: token is expired (exp)")
    not_before_s = _number(payload, "nbf")
    if not_before_s is not None and now_s + LEEWAY_S < not_before_s:
        raise TokenError("invalid token, error: token not valid yet (nbf)")
    issued_at_s = _number(payload, "iat")
    if issued_at_s is not None and now_s + LEEWAY_S < issued_at_s:
        raise TokenError("invalid token, error: token issued in the future (iat)")


def _claims(payload: Mapping[str, Any], api_key: str) -> Claims:
    extra = {name: value for name, value in payload.items() if name not in _OWN and name not in _TEXTS}
    video = _take_grants(extra, "video", VideoGrants)
    sip = _take_grants(extra, "sip", SipGrants)
    agent = _take_grants(extra, "agent", AgentGrants)
    texts = {field: _text(payload, wire) for wire, field in _TEXTS.items()}
    texts["kind"] = texts["kind"] or "standard"
    room_config = payload.get("roomConfig")
    if room_config is not None and not isinstance(room_config, dict):
        raise _wrong_type("roomConfig")
    return Claims(
        api_key=api_key,
        identity=_text(payload, "sub") or _text(payload, "identity") or _text(payload, "jti"),
        kind_details=_text_list(payload.get("kindDetails"), "kindDetails"),
        attributes=_attributes(payload),
        video=video,
        sip=sip,
        agent=agent,
        inference_perform=_take_flag(extra, "inference", "perform"),
        observability_write=_take_flag(extra, "observability", "write"),
        room_config=room_config,
        not_before_s=_number(payload, "nbf"),
        expires_at_s=_number(payload, "exp"),
        extra=extra,
        **texts,
    )


def _take_grants(claims: dict[str, Any], name: str, kind: type[_Grants]) -> _Grants | None:
    """Takes the members that `kind` knows out of the claim `name`; the others stay in `claims`."""
    members = claims.pop(name, None)
    if members is None:
        return None
    if not isinstance(members, dict):
        raise _wrong_type(name)
    rest = dict(members)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        wire = _camel(field.name)
        value = rest.pop(wire, None)
        if value is not None:
            values[field.name] = _grant_value(field.default, value, f"{name}.{wire}")
    if rest:
        claims[name] = rest
    return kind(**values)


def _grant_value(default: object, value: object, name: str) -> object:
    if isinstance(default, tuple):
        # Sources are compared as lower-case names; some minters write the enum's upper case.
        return tuple(source.lower() for source in _text_list(value, name))
    expected = str if isinstance(default, str) else bool
    if not isinstance(value, expected):
        raise _wrong_type(name)
    return value


def _take_flag(claims: dict[str, Any], name: str, member: str) -> bool:
    members = claims.pop(name, None)
    if members is None:
        return False
    if not isinstance(members, dict):
        raise _wrong_type(name)
    rest = dict(members)
    value = rest.pop(member, None)
    if value is not None and not isinstance(value, bool):
        raise _wrong_type(f"{name}.{member}")
    if rest:
        claims[name] = rest
    return value is True


def _payload(claims: Claims) -> dict[str, Any]:
    payload: dict[str, Any] = {name: value for name, value in claims.extra.items() if name not in _OWN}
    for wire, field in _TEXTS.items():
        value = getattr(claims, field)
        if value and not (field == "kind" and value == "standard"):
            payload[wire] = value
    for name, grants in (("video", claims.video), ("sip", claims.sip), ("agent", claims.agent)):
        if grants is not None:
            payload[name] = {**claims.extra.get(name, {}), **_grants_payload(grants)}
    for name, member, granted in (
        ("inference", "perform", claims.inference_perform),
        ("observability", "write", claims.observability_write),
    ):
        if granted:
            payload[name] = {**claims.extra.get(name, {}), member: True}
    optional = {
        "sub": claims.identity,
        "attributes": dict(claims.attributes),
        "kindDetails": list(claims.kind_details),
    }
    payload.update((name, value) for name, value in optional.items() if value)
    if claims.room_config is not None:
        payload["roomConfig"] = dict(claims.room_config)
    payload["iss"] = claims.api_key
    return payload


def _grants_payload(grants: VideoGrants | SipGrants | AgentGrants) -> dict[str, Any]:
    """Members that say something: a tri-state `False` does, a plain `False` or empty text does not."""
    members: dict[str, Any] = {}
    for field in dataclasses.fields(grants):
        value = getattr(grants, field.name)
        if value != field.default:
            members[_camel(field.name)] = list(value) if isinstance(value, tuple) else value
    return members


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _number(payload: Mapping[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None:
        return None
    # NaN, infinities and integers beyond a double compare or convert in surprising ways; no real date is that far.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        raise _wrong_type(name)
    return float(value)


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(name)
    return value


def _text_list(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong_type(name)
    return tuple(value)


def _attributes(payload: Mapping[str, Any]) -> dict[str, str]:
    value = payload.get("attributes")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _wrong_type("attributes")
    return dict(value)


def _wrong_type(name: str) -> TokenError:
    return TokenError(f"invalid token, error: the claim {name} has the wrong type")
