//! The dependency descriptor header extension as raw bytes: str0m does not know it, so it is carried as a user value.
//! Never parses the bytes (`rtp` does), never changes them.

use str0m::rtp::{ExtensionSerializer, ExtensionValues};

/// URI of the dependency descriptor (AV1 RTP specification, appendix A).
pub(crate) const DEPENDENCY_DESCRIPTOR_URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Longest value that one-byte header extensions carry (RFC 8285 §4.2).
const ONE_BYTE_FORM_MAX: usize = 16;

/// The descriptor of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DependencyDescriptorBytes(pub(crate) Box<[u8]>);

/// The dependency descriptor of a packet.
pub(super) fn descriptor_of(values: &ExtensionValues) -> Option<&[u8]> {
    values.user_values.get().map(|DependencyDescriptorBytes(bytes)| &**bytes)
}

/// Reads and writes [`DependencyDescriptorBytes`].
#[derive(Debug)]
pub(super) struct DependencyDescriptorSerializer;

impl ExtensionSerializer for DependencyDescriptorSerializer {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(DependencyDescriptorBytes(bytes)) = values.user_values.get() else { return 0 };
        let Some(target) = buffer.get_mut(..bytes.len()) else { return 0 };
        target.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(DependencyDescriptorBytes(bytes.into()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values
            .user_values
            .get::<DependencyDescriptorBytes>()
            .is_some_and(|descriptor| descriptor.0.len() > ONE_BYTE_FORM_MAX)
    }
}
