//! Access tokens (JWT, HS256) as LiveKit's server SDKs mint them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// A token that lets `identity` join `room`, publish and subscribe.
pub(crate) fn mint(key: &str, secret: &str, room: &str, identity: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = json!({
        "iss": key,
        "sub": identity,
        "name": identity,
        "nbf": now.as_secs().saturating_sub(10),
        "exp": (now + LIFETIME).as_secs(),
        "video": {"roomJoin": true, "room": room, "canPublish": true, "canSubscribe": true, "canPublishData": true},
    });
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let encode = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_header_and_claims() {
        let token = mint("key", "secret", "room \"1\"", "ann");
        let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let tag = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        hmac::verify(&key, format!("{header}.{claims}").as_bytes(), &tag).unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
        assert_eq!(claims["video"]["room"], "room \"1\"");
        assert_eq!(claims["iss"], "key");
    }
}
