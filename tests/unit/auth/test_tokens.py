"""Tokens: refusals and their texts, times, round trips, and agreement with PyPI's livekit-api."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api

from auth.grants import AgentGrants, Claims, SipGrants, VideoGrants
from auth.keys import KeyRing, mapping_source
from auth.tokens import TokenError, issue, refresh, verify

NOW_S = 1_800_000_000.0
SECRET = "s" * 32
KEYS = KeyRing(mapping_source({"key": SECRET, "other": "o" * 32}))


def signed(payload: Any, secret: str = SECRET, algorithm: str = "HS256") -> str:
    """A token with any payload, well-formed or not."""
    return jwt.api_jws.encode(json.dumps(payload).encode(), secret, algorithm=algorithm)


def good(**claims: Any) -> dict[str, Any]:
    return {"iss": "key", "sub": "ann", "exp": NOW_S + 60, **claims}


def refusal(token: str) -> str:
    with pytest.raises(TokenError) as refused:
        verify(token, KEYS, NOW_S)
    assert token == "" or token not in refused.value.message
    return refused.value.message


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "é.é.é", "." * 5, "x" * 100_000, signed([1]), signed("text"), signed({"sub": "no issuer"})],
)
def test_what_is_no_token_is_called_so(token: str) -> None:
    assert refusal(token) == "invalid authorization token"


def test_deeply_nested_payload_is_refused() -> None:
    payload = base64.urlsafe_b64encode(b"[" * 40_000).rstrip(b"=").decode()
    header = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
    assert refusal(f"{header}.{payload}.c2ln") == "invalid authorization token"


def test_text_that_utf8_cannot_carry_is_refused() -> None:
    assert refusal(signed(good(name="\ud800"))) == "invalid authorization token"
    assert verify(signed(good(name="\U0001f600")), KEYS, NOW_S).name == "\U0001f600"


def test_unknown_key_is_named_but_tamed() -> None:
    assert refusal(signed(good(iss="who"))) == "invalid API key: who"
    assert "\n" not in refusal(signed(good(iss="a\nb")))
    assert len(refusal(signed(good(iss="k" * 5000)))) < 100


def test_wrong_secret_and_other_keys_secret() -> None:
    message = "invalid token, error: the signature does not match the API key's secret"
    assert refusal(signed(good(), secret="x" * 32)) == message
    assert refusal(signed(good(), secret="o" * 32)) == message


def test_only_hs256_counts() -> None:
    assert refusal(signed(good(), secret="s" * 64, algorithm="HS512")).startswith("invalid token, error: the algorithm")
    unsigned = jwt.encode(good(), "", algorithm="none")
    assert refusal(unsigned).startswith("invalid token, error:")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"exp": NOW_S - 30}, None),
        ({"exp": NOW_S - 60}, None),
        ({"exp": NOW_S - 61}, "token is expired (exp)"),
        ({"nbf": NOW_S + 60}, None),
        ({"nbf": NOW_S + 61}, "token not valid yet (nbf)"),
        ({"iat": NOW_S + 61}, "token issued in the future (iat)"),
        ({"exp": None}, "token has no expiry (exp)"),
        ({"exp": "soon"}, "the claim exp has the wrong type"),
        ({"exp": True}, "the claim exp has the wrong type"),
        ({"exp": float("nan")}, "the claim exp has the wrong type"),
        ({"exp": 10**400}, "the claim exp has the wrong type"),
    ],
)
def test_times_have_a_minute_of_leeway(times: dict[str, Any], message: str | None) -> None:
    token = signed(good(**times))
    if message is None:
        assert verify(token, KEYS, NOW_S).identity == "ann"
    else:
        assert refusal(token) == f"invalid token, error: {message}"


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"video": []}, "video"),
        ({"video": {"roomJoin": "yes"}}, "video.roomJoin"),
        ({"video": {"room": 7}}, "video.room"),
        ({"video": {"canPublishSources": "camera"}}, "video.canPublishSources"),
        ({"video": {"canPublishSources": [1]}}, "video.canPublishSources"),
        ({"sip": {"admin": 1}}, "sip.admin"),
        ({"inference": True}, "inference"),
        ({"inference": {"perform": 1}}, "inference.perform"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"kindDetails": ["a", 2]}, "kindDetails"),
        ({"roomConfig": "preset"}, "roomConfig"),
        ({"name": 5}, "name"),
        ({"sub": 5}, "sub"),
    ],
)
def test_claims_of_the_wrong_type_are_named(claims: dict[str, Any], name: str) -> None:
    assert refusal(signed(good(**claims))) == f"invalid token, error: the claim {name} has the wrong type"


def test_identity_comes_from_sub_then_identity_then_jti() -> None:
    def identity(**claims: str) -> str:
        return verify(signed({"iss": "key", "exp": NOW_S, **claims}), KEYS, NOW_S).identity

    assert identity(sub="s", identity="i", jti="j") == "s"
    assert identity(identity="i", jti="j") == "i"
    assert identity(jti="j") == "j"
    assert identity() == ""


def test_unset_grants_have_their_documented_meaning() -> None:
    video = verify(signed(good(video={})), KEYS, NOW_S).video
    assert video is not None
    assert (video.may_publish, video.may_subscribe, video.may_publish_data) == (True, True, True)
    assert not video.may_update_own_metadata
    silent = verify(signed(good(video={"canPublish": False})), KEYS, NOW_S).video
    assert silent is not None
    assert not silent.may_publish_data
    assert verify(signed(good()), KEYS, NOW_S).video is None


def test_sources_are_lower_case() -> None:
    video = verify(signed(good(video={"canPublishSources": ["CAMERA", "screen_share"]})), KEYS, NOW_S).video
    assert video is not None
    assert video.can_publish_sources == ("camera", "screen_share")


def test_refresh_keeps_what_we_do_not_know() -> None:
    unknown = {
        "agentEndpoint": {"call": True},
        "video": {"roomJoin": True, "room": "r", "newGrant": 3},
        "roomConfig": {"agents": [{"agentName": "a"}]},
        "inference": {"perform": True, "new": [1]},
    }
    claims = verify(signed(good(**unknown)), KEYS, NOW_S)
    token = refresh(claims, KEYS, NOW_S)
    assert token is not None
    payload = jwt.decode(token, options={"verify_signature": False})
    assert {name: payload[name] for name in unknown} == unknown


@pytest.mark.parametrize(("left_s", "ttl_s"), [(10.0, 600), (-30.0, 600), (3600.0, 3600)])
def test_refresh_lives_at_least_ten_minutes_and_keeps_its_key(left_s: float, ttl_s: int) -> None:
    claims = verify(signed(good(iss="other", exp=NOW_S + left_s), secret="o" * 32), KEYS, NOW_S)
    token = refresh(claims, KEYS, NOW_S)
    assert token is not None
    renewed = verify(token, KEYS, NOW_S)
    assert renewed.api_key == "other"
    assert renewed.expires_at_s == NOW_S + ttl_s
    assert renewed.not_before_s == NOW_S


def test_refresh_of_a_removed_key_is_none() -> None:
    assert refresh(Claims(api_key="gone"), KEYS, NOW_S) is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tristate = st.sampled_from([None, True, False])
lowercase_sources = st.lists(st.sampled_from(["camera", "microphone", "screen_share"]), max_size=3).map(tuple)
videos = st.builds(
    VideoGrants,
    **{
        field.name: st.booleans() if field.default is False else texts if field.default == "" else tristate
        for field in dataclasses.fields(VideoGrants)
        if field.name != "can_publish_sources"
    },
    can_publish_sources=lowercase_sources,
)
all_claims = st.builds(
    Claims,
    api_key=st.just("key"),
    identity=texts,
    name=texts,
    kind=st.sampled_from(["standard", "agent", "sip", "egress", "ingress", "connector", "bridge"]),
    kind_details=st.lists(texts, max_size=2).map(tuple),
    metadata=texts,
    attributes=st.dictionaries(texts, texts, max_size=3),
    video=st.none() | videos,
    sip=st.none() | st.builds(SipGrants, st.booleans(), st.booleans()),
    agent=st.none() | st.builds(AgentGrants, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    inference_perform=st.booleans(),
    observability_write=st.booleans(),
    room_config=st.none() | st.dictionaries(texts, texts, max_size=2),
    room_preset=texts,
    sha256=texts,
)


@given(all_claims)
def test_every_claim_survives_issue_and_verify(claims: Claims) -> None:
    read = verify(issue(claims, SECRET, now_s=NOW_S, ttl_s=60), KEYS, NOW_S)
    expected = dataclasses.replace(claims, not_before_s=NOW_S, expires_at_s=NOW_S + 60)
    assert read == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
claim_names = st.sampled_from(
    ["iss", "sub", "exp", "nbf", "iat", "video", "sip", "agent", "inference", "attributes", "kindDetails", "name"]
)


@given(st.dictionaries(claim_names, json_values, max_size=6))
def test_any_signed_payload_is_read_or_refused(payload: dict[str, Any]) -> None:
    with contextlib.suppress(TokenError):
        assert verify(signed({**good(), **payload}), KEYS, NOW_S).api_key in KEYS.api_keys


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode() + ".e30.x"))
def test_any_text_is_refused_without_a_crash(token: str) -> None:
    with pytest.raises(TokenError):
        verify(token, KEYS, NOW_S)


def everything() -> api.AccessToken:
    video = api.VideoGrants(
        room_create=True,
        room_list=True,
        room_record=True,
        room_admin=True,
        room_join=True,
        room="r",
        destination_room="d",
        can_publish=False,
        can_subscribe=False,
        can_publish_data=False,
        can_publish_sources=["camera"],
        can_update_own_metadata=True,
        ingress_admin=True,
        hidden=True,
        recorder=True,
        agent=True,
        can_manage_agent_session=True,
        can_subscribe_metrics=True,
    )
    return (
        api.AccessToken("key", SECRET)
        .with_identity("ann")
        .with_name("Ann")
        .with_kind("agent")
        .with_metadata("m")
        .with_attributes({"a": "1"})
        .with_sha256("hash")
        .with_room_preset("preset")
        .with_room_config(api.RoomConfiguration(name="r", max_participants=3))
        .with_grants(video)
        .with_sip_grants(api.SIPGrants(admin=True, call=True))
        .with_ttl(datetime.timedelta(hours=1))
    )


def real_now_s() -> float:
    """livekit-api stamps its tokens with the machine's time."""
    return datetime.datetime.now(datetime.UTC).timestamp()


def test_reads_what_livekit_api_writes() -> None:
    claims = verify(everything().to_jwt(), KEYS, real_now_s())
    assert claims.video == VideoGrants(
        room_create=True,
        room_list=True,
        room_record=True,
        room_admin=True,
        room_join=True,
        room="r",
        ingress_admin=True,
        hidden=True,
        recorder=True,
        agent=True,
        destination_room="d",
        can_publish=False,
        can_subscribe=False,
        can_publish_data=False,
        can_publish_sources=("camera",),
        can_update_own_metadata=True,
        can_subscribe_metrics=True,
        can_manage_agent_session=True,
    )
    assert claims.sip == SipGrants(admin=True, call=True)
    assert (claims.identity, claims.name, claims.kind, claims.metadata) == ("ann", "Ann", "agent", "m")
    assert (claims.attributes, claims.sha256, claims.room_preset) == ({"a": "1"}, "hash", "preset")
    assert claims.room_config == {"name": "r", "maxParticipants": 3}


def test_livekit_api_reads_what_we_write() -> None:
    token = everything()
    now_s = real_now_s()
    renewed = refresh(verify(token.to_jwt(), KEYS, now_s), KEYS, now_s)
    assert renewed is not None
    read = api.TokenVerifier("key", SECRET).verify(renewed)
    ours, theirs = read.asdict(), token.claims.asdict()
    # The verifier fills absent claims with empty values; what was set must be equal.
    assert {name: ours[name] for name in theirs if name != "identity"} == {
        name: value for name, value in theirs.items() if name != "identity"
    }
    assert read.identity == "ann"


@pytest.mark.filterwarnings("error::jwt.warnings.InsecureKeyLengthWarning")
def test_a_short_secret_is_not_warned_of_here() -> None:
    token = issue(Claims(api_key="devkey", identity="ann"), "secret", now_s=1000.0)
    assert verify(token, KeyRing(mapping_source({"devkey": "secret"})), 1000.0).identity == "ann"


def test_the_log_learns_who_was_refused_only_when_the_signature_was_right() -> None:
    expired = good(exp=NOW_S - 600, video={"room": "lobby"})

    def about(token: str) -> dict[str, str]:
        with pytest.raises(TokenError) as refused:
            verify(token, KEYS, NOW_S)
        return refused.value.about

    assert about(signed(expired)) == {"api_key": "key", "participant": "ann", "room": "lobby"}
    assert about(signed(expired, secret="f" * 32)) == {"api_key": "key"}
    assert about(signed(good(iss="nobody\n"))) == {"api_key": ascii("nobody\n")}
    assert about("no token") == {}
