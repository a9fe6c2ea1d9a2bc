//! Protocol-buffer wire format: a bounded walk over fields, and a writer. Knows no message type.

/// A field's value. Groups, which no message of ours has, are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire types 1 and 5; nobody here needs the number.
    Fixed,
    /// Wire type 2: bytes, string, message or packed numbers.
    Bytes(&'a [u8]),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// Key and value as encoded.
    pub(super) raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field.
    pub(super) const fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a string field.
    pub(super) fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The number of an integer field.
    pub(super) const fn varint(&self) -> Option<u64> {
        match self.value {
            Value::Varint(value) => Some(value),
            _ => None,
        }
    }
}

/// All fields of a message in order; `None` when it is malformed.
pub(super) fn read(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (field, after) = read_field(rest)?;
        fields.push(field);
        rest = after;
    }
    Some(fields)
}

/// First field of a message and what follows it.
pub(super) fn read_field(message: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = read_varint(message)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number))?;
    let (value, rest) = match key & 7 {
        0 => {
            let (value, rest) = read_varint(rest)?;
            (Value::Varint(value), rest)
        }
        1 => (Value::Fixed, rest.get(8..)?),
        2 => {
            let (length, rest) = read_varint(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Value::Bytes(bytes), rest)
        }
        5 => (Value::Fixed, rest.get(4..)?),
        _ => return None,
    };
    let raw = &message[..message.len() - rest.len()];
    Some((Field { number, value, raw }, rest))
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds the last bit.
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Writes a message whose fields come out in the order of their numbers, as encoders write them.
#[derive(Debug, Default)]
pub(super) struct Writer<'a> {
    fields: Vec<(u32, Piece<'a>)>,
}

#[derive(Debug)]
enum Piece<'a> {
    Raw(&'a [u8]),
    Bytes(std::borrow::Cow<'a, [u8]>),
    Varint(u64),
}

impl<'a> Writer<'a> {
    /// Copies a field as it is.
    pub(super) fn copy(&mut self, field: &Field<'a>) {
        self.fields.push((field.number, Piece::Raw(field.raw)));
    }

    /// Adds a field of bytes.
    pub(super) fn bytes(&mut self, number: u32, bytes: impl Into<std::borrow::Cow<'a, [u8]>>) {
        self.fields.push((number, Piece::Bytes(bytes.into())));
    }

    /// Adds a string unless it is empty (the default needs no field).
    pub(super) fn text(&mut self, number: u32, text: &'a str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// Adds a number unless it is 0.
    pub(super) fn varint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.fields.push((number, Piece::Varint(value)));
        }
    }

    /// The encoded message.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.fields.sort_by_key(|(number, _)| *number);
        let mut out = Vec::with_capacity(self.fields.iter().map(|(_, piece)| piece.bytes_at_most()).sum());
        for (number, piece) in &self.fields {
            match piece {
                Piece::Raw(raw) => out.extend_from_slice(raw),
                Piece::Bytes(bytes) => {
                    write_varint(&mut out, u64::from(*number) << 3 | 2);
                    write_varint(&mut out, bytes.len() as u64);
                    out.extend_from_slice(bytes);
                }
                Piece::Varint(value) => {
                    write_varint(&mut out, u64::from(*number) << 3);
                    write_varint(&mut out, *value);
                }
            }
        }
        out
    }
}

impl Piece<'_> {
    fn bytes_at_most(&self) -> usize {
        match self {
            Self::Raw(raw) => raw.len(),
            Self::Bytes(bytes) => bytes.len() + 10,
            Self::Varint(_) => 15,
        }
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_wire_type() {
        let message =
            [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let fields = read(&message).unwrap();
        let numbers: Vec<u32> = fields.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(fields[0].varint(), Some(150));
        assert_eq!(fields[1].text(), Some("hi"));
        assert_eq!(fields.concat_raw(), message);
    }

    trait ConcatRaw {
        fn concat_raw(&self) -> Vec<u8>;
    }

    impl ConcatRaw for Vec<Field<'_>> {
        fn concat_raw(&self) -> Vec<u8> {
            self.iter().flat_map(|field| field.raw.to_vec()).collect()
        }
    }

    #[test]
    fn refuses_what_is_malformed() {
        for message in [
            &[0x08][..],
            &[0x00, 0x01],
            &[0x12, 0x05, 1, 2],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x1d, 1, 2, 3],
            &[0x21, 1],
            &[0x0b, 0x0c],
            &[0x0f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0xf8, 0xff, 0xff, 0xff, 0x7f, 0x00],
        ] {
            assert_eq!(read(message), None, "{message:x?}");
        }
    }

    #[test]
    fn writes_in_the_order_of_numbers_and_leaves_defaults_out() {
        let mut writer = Writer::default();
        writer.text(17, "PA");
        writer.text(4, "");
        writer.varint(16, 300);
        writer.varint(1, 0);
        writer.bytes(2, Vec::new());
        assert_eq!(writer.finish(), [0x12, 0x00, 0x80, 0x01, 0xac, 0x02, 0x8a, 0x01, 0x02, b'P', b'A']);
    }
}
