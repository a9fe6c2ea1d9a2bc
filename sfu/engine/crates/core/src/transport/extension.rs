//! The dependency descriptor header extension as raw bytes: str0m does not know it, so it is carried as a user value.
//! Never parses the bytes (`rtp` does), never changes them.
//!
//! A user value costs an allocation or two per packet that comes in. Most descriptors have only their three mandatory
//! bytes; these travel in the value of another extension, frame marking, which is never negotiated here and serves the
//! same end.

use std::sync::Arc;

use str0m::rtp::{ExtensionSerializer, ExtensionValues, UserExtensionValues};

/// URI of the dependency descriptor (AV1 RTP specification, appendix A).
pub(crate) const DEPENDENCY_DESCRIPTOR_URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Longest value that one-byte header extensions carry (RFC 8285 §4.2).
pub(super) const ONE_BYTE_FORM_MAX: usize = 16;

/// The descriptor of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DescriptorBytes {
    /// The mandatory fields alone.
    Short([u8; 3]),
    /// More than these.
    Long(Arc<LongDescriptor>),
}

/// A descriptor of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LongDescriptor(Box<[u8]>);

impl DescriptorBytes {
    /// Takes the descriptor out of a packet's extensions.
    pub(crate) fn take(values: &mut ExtensionValues) -> Option<Self> {
        let short = values.frame_mark.take().map(|packed| {
            let [_, bytes @ ..] = packed.to_be_bytes();
            Self::Short(bytes)
        });
        let long = values.user_values.get_arc().map(Self::Long);
        if long.is_some() {
            values.user_values = UserExtensionValues::default();
        }
        long.or(short)
    }

    /// Puts a descriptor into a packet's extensions.
    pub(crate) fn put(bytes: &[u8], values: &mut ExtensionValues) {
        if let &[first, second, third] = bytes {
            values.frame_mark = Some(u32::from_be_bytes([0, first, second, third]));
        } else {
            values.user_values.set(LongDescriptor(bytes.into()));
        }
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(long) => &long.0,
        }
    }
}

/// Reads and writes what [`DescriptorBytes`] takes and puts.
#[derive(Debug)]
pub(super) struct DependencyDescriptorSerializer;

impl ExtensionSerializer for DependencyDescriptorSerializer {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let packed = values.frame_mark.map(u32::to_be_bytes);
        let bytes = match (&packed, values.user_values.get::<LongDescriptor>()) {
            (_, Some(long)) => &long.0[..],
            (Some([_, short @ ..]), None) => &short[..],
            (None, None) => return 0,
        };
        let Some(target) = buffer.get_mut(..bytes.len()) else { return 0 };
        target.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        DescriptorBytes::put(bytes, values);
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values.user_values.get::<LongDescriptor>().is_some_and(|long| long.0.len() > ONE_BYTE_FORM_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_written_and_taken() {
        for length in [1, 3, 4, 16, 17, 255] {
            let bytes: Vec<u8> = (1..=length).collect();
            let mut values = ExtensionValues::default();
            assert!(DependencyDescriptorSerializer.parse_value(&bytes, &mut values));
            let is_long = DependencyDescriptorSerializer.requires_two_byte_form(&values);
            assert_eq!(is_long, bytes.len() > ONE_BYTE_FORM_MAX);
            let mut buffer = [0; 255];
            assert_eq!(DependencyDescriptorSerializer.write_to(&mut buffer, &values), bytes.len());
            assert_eq!(buffer[..bytes.len()], bytes);
            let taken = DescriptorBytes::take(&mut values).unwrap();
            assert_eq!(taken.as_bytes(), bytes);
            assert_eq!(DescriptorBytes::take(&mut values), None);
            assert_eq!(DependencyDescriptorSerializer.write_to(&mut buffer, &values), 0);
        }
        assert_eq!(
            DependencyDescriptorSerializer.write_to(&mut [0; 2], &{
                let mut values = ExtensionValues::default();
                DescriptorBytes::put(&[1, 2, 3], &mut values);
                values
            }),
            0,
            "no room"
        );
    }
}
