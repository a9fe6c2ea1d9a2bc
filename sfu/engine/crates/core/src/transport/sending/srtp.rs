//! SRTP and SRTCP with the keys of one association (RFC 3711, RFC 7714; keys by RFC 5764 §4.2).
//!
//! Protects RTP and RTCP of our own, in place, at the end of the buffer in which they leave; opens SRTCP of the peer.
//! Never opens SRTP, never negotiates: the handshake says profile and keying material.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use str0m::crypto::dtls::SrtpProfile;

const GCM_SALT_BYTES: usize = 12;
const HMAC_TAG_BYTES: usize = 10;
const HMAC_KEY_BYTES: usize = 20;
const CM_SALT_BYTES: usize = 14;
/// Header of an RTCP packet with its SSRC: never encrypted.
const RTCP_CLEAR_BYTES: usize = 8;
/// E flag and SRTCP index.
const INDEX_BYTES: usize = 4;
const ENCRYPTED_FLAG: u32 = 1 << 31;
/// Senders of the peer whose SRTCP indices are remembered.
const MAX_REPLAY_WINDOWS: usize = 32;

/// Labels of the key derivation (RFC 3711 §4.3.2); those of SRTCP lie three above those of SRTP.
#[derive(Clone, Copy)]
enum Label {
    Key = 0,
    Authentication = 1,
    Salt = 2,
}

/// What a finished handshake gives.
pub(crate) struct Keying {
    pub(crate) profile: SrtpProfile,
    /// Both master keys, then both master salts; the DTLS client's first.
    pub(crate) material: Vec<u8>,
    /// We were the DTLS client.
    pub(crate) is_active: bool,
}

impl fmt::Debug for Keying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keying({:?}, …)", self.profile) // never the keys
    }
}

/// Cryptography refused; nothing was or may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SrtpError;

/// The session keys of one association, as far as we use them.
#[derive(Debug)]
pub(crate) struct SrtpSession {
    rtp: Cipher,
    rtcp_out: Cipher,
    rtcp_in: Cipher,
    rtcp_index: u32,
    replays: Vec<ReplayWindow>,
}

impl SrtpSession {
    /// Derives the session keys.
    pub(crate) fn new(keying: &Keying) -> Result<Self, SrtpError> {
        let (key_bytes, salt_bytes) = match keying.profile {
            SrtpProfile::AES128_CM_SHA1_80 => (16, CM_SALT_BYTES),
            SrtpProfile::AEAD_AES_128_GCM => (16, GCM_SALT_BYTES),
            SrtpProfile::AEAD_AES_256_GCM => (32, GCM_SALT_BYTES),
            _ => return Err(SrtpError),
        };
        let side = |is_client: bool| {
            let nth = usize::from(!is_client);
            let keys = keying.material.get(nth * key_bytes..)?.get(..key_bytes)?;
            let salts = keying.material.get(2 * key_bytes + nth * salt_bytes..)?.get(..salt_bytes)?;
            Some(Master { profile: keying.profile, key: keys, salt: salts })
        };
        let ours = side(keying.is_active).ok_or(SrtpError)?;
        let theirs = side(!keying.is_active).ok_or(SrtpError)?;
        Ok(Self {
            rtp: ours.cipher(false)?,
            rtcp_out: ours.cipher(true)?,
            rtcp_in: theirs.cipher(true)?,
            rtcp_index: 0,
            replays: Vec::new(),
        })
    }

    /// Protects the RTP packet that begins at `start` of `out` and ends with it; `index` is its extended sequence number.
    pub(crate) fn protect_rtp(
        &self,
        out: &mut Vec<u8>,
        start: usize,
        header_bytes: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let packet = out.get_mut(start..).ok_or(SrtpError)?;
        let (header, payload) = packet.split_at_mut_checked(header_bytes).ok_or(SrtpError)?;
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let tag = key
                    .seal_in_place_separate_tag(gcm_nonce(salt, ssrc, index), Aad::from(&*header), payload)
                    .map_err(|_| SrtpError)?;
                out.extend_from_slice(tag.as_ref());
            }
            Cipher::Cm(keys) => {
                let CounterMode { key, authentication, salt } = &**keys;
                cm_xor(key, salt, ssrc, index, payload)?;
                let mut context = hmac::Context::with_key(authentication);
                context.update(packet);
                #[expect(clippy::cast_possible_truncation, reason = "the roll-over counter has 32 bits")]
                context.update(&((index >> 16) as u32).to_be_bytes());
                out.extend_from_slice(&context.sign().as_ref()[..HMAC_TAG_BYTES]);
            }
        }
        Ok(())
    }

    /// Protects the compound RTCP packet that begins at `start` of `out` and ends with it.
    pub(crate) fn protect_rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), SrtpError> {
        let index = self.rtcp_index;
        self.rtcp_index = (index + 1) & !ENCRYPTED_FLAG;
        let flagged = (index | ENCRYPTED_FLAG).to_be_bytes();
        let packet = out.get_mut(start..).ok_or(SrtpError)?;
        let (clear, body) = packet.split_at_mut_checked(RTCP_CLEAR_BYTES).ok_or(SrtpError)?;
        let ssrc = ssrc_of(clear).ok_or(SrtpError)?;
        match &self.rtcp_out {
            Cipher::Gcm { key, salt } => {
                let aad = rtcp_aad(clear, flagged);
                let nonce = gcm_nonce(salt, ssrc, u64::from(index));
                let tag =
                    key.seal_in_place_separate_tag(nonce, Aad::from(aad), body).map_err(|_| SrtpError)?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(&flagged);
            }
            Cipher::Cm(keys) => {
                let CounterMode { key, authentication, salt } = &**keys;
                cm_xor(key, salt, ssrc, u64::from(index), body)?;
                out.extend_from_slice(&flagged);
                let tag = hmac::sign(authentication, out.get(start..).ok_or(SrtpError)?);
                out.extend_from_slice(&tag.as_ref()[..HMAC_TAG_BYTES]);
            }
        }
        Ok(())
    }

    /// Opens a compound RTCP packet of the peer. `None`: not authentic, or seen before. Packets that are authentic but
    /// not encrypted are refused too: no client sends them.
    pub(crate) fn open_rtcp(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (ssrc, index, opened) = match &self.rtcp_in {
            Cipher::Gcm { key, salt } => {
                let (rest, flagged) = datagram.split_last_chunk::<INDEX_BYTES>()?;
                let (clear, body) = rest.split_at_checked(RTCP_CLEAR_BYTES)?;
                let (ssrc, index) = (ssrc_of(clear)?, encrypted_index(*flagged)?);
                let nonce = gcm_nonce(salt, ssrc, u64::from(index));
                let mut opened = body.to_vec();
                let aad = Aad::from(rtcp_aad(clear, *flagged));
                let length = key.open_in_place(nonce, aad, &mut opened).ok()?.len();
                opened.truncate(length);
                opened.splice(0..0, clear.iter().copied());
                (ssrc, index, opened)
            }
            Cipher::Cm(keys) => {
                let CounterMode { key, authentication, salt } = &**keys;
                let (signed, tag) = datagram.split_last_chunk::<HMAC_TAG_BYTES>()?;
                let expected = hmac::sign(authentication, signed);
                verify_slices_are_equal(&expected.as_ref()[..HMAC_TAG_BYTES], tag).ok()?;
                let (rest, flagged) = signed.split_last_chunk::<INDEX_BYTES>()?;
                let (ssrc, index) = (ssrc_of(rest)?, encrypted_index(*flagged)?);
                let mut opened = rest.to_vec();
                cm_xor(key, salt, ssrc, u64::from(index), opened.get_mut(RTCP_CLEAR_BYTES..)?).ok()?;
                (ssrc, index, opened)
            }
        };
        self.is_fresh(ssrc, index).then_some(opened)
    }

    /// Whether no packet with that index has come from that sender yet (RFC 3711 §3.3.2); notes it.
    fn is_fresh(&mut self, ssrc: u32, index: u32) -> bool {
        if let Some(window) = self.replays.iter_mut().find(|window| window.ssrc == ssrc) {
            return window.note(index);
        }
        if self.replays.len() >= MAX_REPLAY_WINDOWS {
            self.replays.remove(0);
        }
        self.replays.push(ReplayWindow { ssrc, highest: index, seen: 1 });
        true
    }
}

/// The last 64 SRTCP indices of one sender.
#[derive(Debug)]
struct ReplayWindow {
    ssrc: u32,
    highest: u32,
    /// Bit n: `highest - n` was there.
    seen: u64,
}

impl ReplayWindow {
    fn note(&mut self, index: u32) -> bool {
        if index > self.highest {
            let ahead = index - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = index;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - index) else { return false };
        let is_fresh = self.seen & bit == 0;
        self.seen |= bit;
        is_fresh
    }
}

/// Keys of one direction and protocol.
enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; GCM_SALT_BYTES] },
    Cm(Box<CounterMode>),
}

/// Keys of the older profile.
struct CounterMode {
    key: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; CM_SALT_BYTES],
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Gcm { .. }) { "Gcm(…)" } else { "Cm(…)" })
    }
}

/// Master key and salt of one side.
struct Master<'a> {
    profile: SrtpProfile,
    key: &'a [u8],
    salt: &'a [u8],
}

impl Master<'_> {
    fn cipher(&self, is_rtcp: bool) -> Result<Cipher, SrtpError> {
        let gcm = |algorithm: &'static Algorithm, key: &[u8]| {
            let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError)?;
            let mut salt = [0; GCM_SALT_BYTES];
            self.derive(Label::Salt, is_rtcp, &mut salt)?;
            Ok(Cipher::Gcm { key: LessSafeKey::new(key), salt })
        };
        if self.profile == SrtpProfile::AEAD_AES_256_GCM {
            let mut key = [0; 32];
            self.derive(Label::Key, is_rtcp, &mut key)?;
            return gcm(&AES_256_GCM, &key);
        }
        let mut key = [0; 16];
        self.derive(Label::Key, is_rtcp, &mut key)?;
        if self.profile == SrtpProfile::AEAD_AES_128_GCM {
            return gcm(&AES_128_GCM, &key);
        }
        let mut authentication = [0; HMAC_KEY_BYTES];
        self.derive(Label::Authentication, is_rtcp, &mut authentication)?;
        let mut salt = [0; CM_SALT_BYTES];
        self.derive(Label::Salt, is_rtcp, &mut salt)?;
        Ok(Cipher::Cm(Box::new(CounterMode {
            key: counter_mode(&AES_128, &key)?,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &authentication),
            salt,
        })))
    }

    /// RFC 3711 §4.3.1 and RFC 7714 §11: the key stream of AES in counter mode that begins at the salt xor the label.
    fn derive(&self, label: Label, is_rtcp: bool, out: &mut [u8]) -> Result<(), SrtpError> {
        let algorithm = if self.key.len() == 32 { &AES_256 } else { &AES_128 };
        let mut first = [0; 16];
        first.get_mut(..self.salt.len()).ok_or(SrtpError)?.copy_from_slice(self.salt);
        first[7] ^= label as u8 + if is_rtcp { 3 } else { 0 };
        out.fill(0);
        apply_key_stream(&counter_mode(algorithm, self.key)?, first, out)
    }
}

fn counter_mode(algorithm: &'static cipher::Algorithm, key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr).map_err(|_| SrtpError)
}

fn apply_key_stream(key: &EncryptingKey, first: [u8; 16], in_out: &mut [u8]) -> Result<(), SrtpError> {
    let context = EncryptionContext::Iv128(FixedLength::from(first));
    key.less_safe_encrypt(in_out, context).map(|_| ()).map_err(|_| SrtpError)
}

/// RFC 3711 §4.1.1.
fn cm_xor(
    key: &EncryptingKey,
    salt: &[u8; CM_SALT_BYTES],
    ssrc: u32,
    index: u64,
    in_out: &mut [u8],
) -> Result<(), SrtpError> {
    let mut first = [0; 16];
    first[..CM_SALT_BYTES].copy_from_slice(salt);
    xor(&mut first[4..8], &ssrc.to_be_bytes());
    xor(&mut first[6..14], &index.to_be_bytes());
    apply_key_stream(key, first, in_out)
}

/// RFC 7714 §8.1 and §9.1: roll-over counter and sequence number, or the SRTCP index, end the nonce alike.
fn gcm_nonce(salt: &[u8; GCM_SALT_BYTES], ssrc: u32, index: u64) -> Nonce {
    let mut nonce: [u8; NONCE_LEN] = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

fn xor(target: &mut [u8], mask: &[u8]) {
    target.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

fn rtcp_aad(clear: &[u8], flagged: [u8; INDEX_BYTES]) -> [u8; RTCP_CLEAR_BYTES + INDEX_BYTES] {
    let mut aad = [0; RTCP_CLEAR_BYTES + INDEX_BYTES];
    let (head, tail) = aad.split_at_mut(RTCP_CLEAR_BYTES);
    head.copy_from_slice(clear);
    tail.copy_from_slice(&flagged);
    aad
}

fn ssrc_of(rtcp: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*rtcp.get(4..)?.first_chunk()?))
}

fn encrypted_index(flagged: [u8; INDEX_BYTES]) -> Option<u32> {
    let flagged = u32::from_be_bytes(flagged);
    (flagged & ENCRYPTED_FLAG != 0).then_some(flagged & !ENCRYPTED_FLAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn keys_are_derived_as_in_the_standard() {
        let master = Master {
            profile: SrtpProfile::AES128_CM_SHA1_80,
            key: &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            salt: &hex("0EC675AD498AFEEBB6960B3AABE6"),
        };
        let derived = |label, length| {
            let mut out = vec![0; length];
            master.derive(label, false, &mut out).unwrap();
            out
        };
        assert_eq!(derived(Label::Key, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(Label::Salt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(derived(Label::Authentication, 20), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    const RFC_7714_RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
        69736120 696e2070 61727465 73207472 6573";
    const RFC_7714_RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
        deadbeef deadbeef deadbeef deadbeef deadbeef";

    fn rfc_7714(algorithm: &'static Algorithm, key: &[u8]) -> SrtpSession {
        let cipher = || Cipher::Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap()),
            salt: *hex("51756964 2070726f 2071756f").first_chunk().unwrap(),
        };
        SrtpSession {
            rtp: cipher(),
            rtcp_out: cipher(),
            rtcp_in: cipher(),
            rtcp_index: 0x5d4,
            replays: Vec::new(),
        }
    }

    /// RFC 7714 §16.1.1 and §16.2.1.
    #[test]
    fn rtp_is_protected_as_in_the_standard() {
        let key: Vec<u8> = (0..32).collect();
        for (algorithm, length, expected) in [
            (
                &AES_128_GCM,
                16,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                &AES_256_GCM,
                32,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
                9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ] {
            let mut out = vec![7, 7, 7];
            out.extend(hex(RFC_7714_RTP));
            let session = rfc_7714(algorithm, &key[..length]);
            session.protect_rtp(&mut out, 3, 12, 0x5501_a0b2, 0xf17b).unwrap();
            assert_eq!(out[..3], [7, 7, 7]);
            assert_eq!(out[3..], hex(expected));
        }
    }

    /// RFC 7714 §17.1.
    #[test]
    fn rtcp_is_protected_as_in_the_standard() {
        let key: Vec<u8> = (0..16).collect();
        let mut session = rfc_7714(&AES_128_GCM, &key);
        let mut out = hex(RFC_7714_RTCP);
        session.protect_rtcp(&mut out, 0).unwrap();
        assert_eq!(
            out,
            hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
                 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4")
        );
        assert_eq!(session.open_rtcp(&out), Some(hex(RFC_7714_RTCP)));
        assert_eq!(session.open_rtcp(&out), None, "seen before");
    }

    fn pair(profile: SrtpProfile) -> (SrtpSession, SrtpSession) {
        let material: Vec<u8> = (0..88).collect();
        let end =
            |is_active| SrtpSession::new(&Keying { profile, material: material.clone(), is_active }).unwrap();
        (end(true), end(false))
    }

    #[test]
    fn feedback_opens_at_the_other_end_once_and_only_untouched() {
        for profile in
            [SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM]
        {
            let (mut one, mut other) = pair(profile);
            let mut datagrams = Vec::new();
            for _ in 0..3 {
                let mut out = hex(RFC_7714_RTCP);
                one.protect_rtcp(&mut out, 0).unwrap();
                datagrams.push(out);
            }
            for nth in [2, 0, 1] {
                for at in 0..datagrams[nth].len() {
                    let mut damaged = datagrams[nth].clone();
                    damaged[at] ^= 1;
                    assert_eq!(other.open_rtcp(&damaged), None, "{profile:?} byte {at}");
                }
                for length in 0..datagrams[nth].len() {
                    assert_eq!(other.open_rtcp(&datagrams[nth][..length]), None);
                }
                assert_eq!(other.open_rtcp(&datagrams[nth]), Some(hex(RFC_7714_RTCP)), "{profile:?}");
                assert_eq!(other.open_rtcp(&datagrams[nth]), None, "{profile:?}: seen before");
            }
        }
    }

    #[test]
    fn too_little_keying_material_is_refused() {
        for profile in [SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::AEAD_AES_256_GCM] {
            let keying = Keying { profile, material: vec![0; 40], is_active: false };
            assert!(SrtpSession::new(&keying).is_err());
        }
    }

    #[test]
    fn indices_are_taken_once_each_within_the_window() {
        let mut window = ReplayWindow { ssrc: 1, highest: 100, seen: 1 };
        assert!(!window.note(100));
        assert!(window.note(99) && !window.note(99));
        assert!(window.note(163) && !window.note(100), "still in the window");
        assert!(window.note(101));
        assert!(window.note(1_000) && !window.note(163), "left the window");
    }
}
