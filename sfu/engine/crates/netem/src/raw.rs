//! Header extensions with any bytes for values: what a client sends that keeps to no format.
//!
//! The association writes known extensions itself, so a raw client knows them under names of its own, which are replaced
//! in descriptions on their way.

use str0m::rtp::{Extension, ExtensionMap, ExtensionSerializer, ExtensionValues};

/// Number of extensions whose values a raw client chooses.
pub const RAW_EXTENSIONS: usize = 10;
/// From here on they say to which line and stream a packet belongs; left empty, they say it as they should.
pub const RAW_NAMES: usize = 7;

/// Id, our name, real name. The longest of the real names that begin alike come first, since they are replaced in turn.
const NAMES: [(u8, &str, &str); RAW_EXTENSIONS] = [
    (1, "urn:x-raw:audio-level", "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (5, "urn:x-raw:playout-delay", "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
    (6, "urn:x-raw:capture-time", "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"),
    (
        7,
        "urn:x-raw:descriptor",
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
    (13, "urn:x-raw:orientation", "urn:3gpp:video-orientation"),
    (2, "urn:x-raw:send-time", "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    (
        3,
        "urn:x-raw:transport-number",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    ),
    (4, "urn:x-raw:line", "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (11, "urn:x-raw:again", "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
    (10, "urn:x-raw:stream", "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
];

/// Values in the order of the names above: audio level, playout delay, capture time, dependency descriptor, orientation,
/// send time, transport-wide number; line, repaired stream and stream. An empty one of the first seven is left out.
#[derive(Debug, Clone, Default)]
pub struct RawExtensions(pub [Vec<u8>; RAW_EXTENSIONS]);

#[derive(Debug)]
struct RawSerializer(usize);

impl ExtensionSerializer for RawSerializer {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let raw = values.user_values.get::<RawExtensions>();
        let mut bytes = raw.map_or(&[][..], |raw| &raw.0[self.0]);
        if bytes.is_empty() {
            bytes = true_name(self.0, values);
        }
        let Some(target) = buffer.get_mut(..bytes.len()) else { return 0 };
        target.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, _: &[u8], _: &mut ExtensionValues) -> bool {
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        true
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values.user_values.get::<RawExtensions>().is_some_and(|raw| raw.0[self.0].len() > 16)
    }
}

/// What an extension is to say of the packet's line or stream; nothing of the others.
fn true_name(index: usize, values: &ExtensionValues) -> &[u8] {
    let name = match index.checked_sub(RAW_NAMES) {
        Some(0) => values.mid.as_deref(),
        Some(1) => values.rid_repair.as_deref(),
        Some(2) => values.rid.as_deref(),
        _ => None,
    };
    name.unwrap_or_default().as_bytes()
}

/// Puts the raw ones in the place of the known ones.
pub(crate) fn replace_extensions(map: &mut ExtensionMap) {
    for (index, (id, name, _)) in NAMES.iter().enumerate() {
        map.set(*id, Extension::with_serializer(name, RawSerializer(index)));
    }
}

/// A description of the client's as the server shall read it.
pub(crate) fn to_server(sdp: &str) -> String {
    NAMES.iter().fold(sdp.to_owned(), |sdp, (_, ours, real)| sdp.replace(ours, real))
}

/// A description of the server's as the client shall read it.
pub(crate) fn to_client(sdp: &str) -> String {
    NAMES.iter().fold(sdp.to_owned(), |sdp, (_, ours, real)| sdp.replace(real, ours))
}
