//! Descriptors as encoders write them, and such as none would.

use super::*;

/// Writes `(value, bits)` fields, padded to bytes.
fn bits(fields: &[(u32, u32)]) -> Vec<u8> {
    let mut buffer = [0; MAX_BYTES];
    let mut writer = BitWriter::new(&mut buffer);
    for (value, count) in fields {
        writer.write(*value, *count).unwrap();
    }
    let length = writer.bytes_written();
    buffer[..length].to_vec()
}

/// `L2T2_KEY` (AV1 RTP specification, §A.9.2 in the order of the templates): offset 60, so that ids wrap.
fn structure_fields() -> Vec<(u32, u32)> {
    let mut fields = vec![(60, 6), (3, 5)];
    // S0T0 key, S0T0, S0T1, S1T0 key, S1T0, S1T1
    fields.extend([(0, 2), (1, 2), (2, 2), (0, 2), (1, 2), (3, 2)]);
    for indications in ["SSSS", "SS--", "-D--", "--SS", "--SS", "---D"] {
        fields.extend(
            indications.chars().map(|letter| (u32::try_from("-DSR".find(letter).unwrap()).unwrap(), 2)),
        );
    }
    for references in [&[][..], &[4], &[2], &[1], &[4], &[2]] {
        for distance in references {
            fields.extend([(1, 1), (distance - 1, 4)]);
        }
        fields.push((0, 1));
    }
    fields.push((2, 2)); // two chains: 2 of ns(5)
    fields.extend([(0, 1), (0, 1), (1, 1), (1, 1)]); // protected by: ns(2)
    (0..6).for_each(|_| fields.extend([(4, 4), (3, 4)]));
    fields.extend([(1, 1), (639, 16), (359, 16), (1279, 16), (719, 16)]);
    fields
}

fn key_frame() -> Vec<u8> {
    let head = [(1, 1), (1, 1), (60, 6), (0x1234, 16), (1, 1), (0, 1), (0, 3)];
    bits(&[&head[..], &structure_fields()].concat())
}

fn structure() -> Structure {
    DependencyDescriptor::parse(&key_frame(), None).unwrap().structure.unwrap()
}

const fn layer(spatial: u8, temporal: u8) -> Layer {
    Layer { spatial, temporal }
}

#[test]
fn reads_a_structure() {
    let descriptor = DependencyDescriptor::parse(&key_frame(), None).unwrap();
    assert!(descriptor.starts_frame && descriptor.ends_frame);
    assert_eq!((descriptor.frame_number, descriptor.active_targets), (0x1234, Some(0b1111)));
    assert_eq!(descriptor.frame.layer, layer(0, 0));
    assert!(descriptor.frame.references.are_in(0));
    let structure = descriptor.structure.unwrap();
    assert_eq!(structure.targets(), &DecodeTargets::of(&[(0, 0), (0, 1), (1, 0), (1, 1)]));
    assert_eq!(structure.chains(), 2);
    let layers: Vec<_> = structure.templates().iter().map(|template| template.layer).collect();
    assert_eq!(layers, [layer(0, 0), layer(0, 0), layer(0, 1), layer(1, 0), layer(1, 0), layer(1, 1)]);
    assert_eq!(structure.template(1).unwrap().indications, Indications::of_text("---D"), "ids wrap");
    assert_eq!(structure.template(2), None);
    assert_eq!(structure.targets().within(layer(1, 0)), 0b0101);
    assert_eq!(structure.targets().within(Layer::MAX), structure.targets().all());
}

#[test]
fn reads_a_frame_by_its_template() {
    let descriptor = DependencyDescriptor::parse(&[0x80 | 0x3f, 0x12, 0x35], Some(&structure())).unwrap();
    assert!(descriptor.starts_frame && !descriptor.ends_frame);
    assert_eq!(descriptor.frame.layer, layer(1, 0));
    assert!(descriptor.frame.indications.is_switch(3) && !descriptor.frame.indications.has(0));
    assert!(descriptor.frame.references.are_in(0b1) && !descriptor.frame.references.are_in(0b10));
    assert_eq!(descriptor.structure, None);
    assert_eq!(DependencyDescriptor::parse(&[0x80 | 0x3f, 0x12, 0x35], None), None, "no structure is known");
    assert_eq!(
        DependencyDescriptor::parse(&[0x80 | 0x02, 0, 0], Some(&structure())),
        None,
        "no such template"
    );
}

#[test]
fn reads_what_a_frame_has_of_its_own() {
    let head = [(0, 1), (1, 1), (61, 6), (7, 16), (0, 1), (1, 1), (1, 1), (1, 1), (1, 1), (0b0011, 4)];
    let indications = [(0, 2), (1, 2), (2, 2), (3, 2)];
    let references = [(1, 2), (2, 4), (2, 2), (129, 8), (0, 2)];
    let bytes = bits(&[&head[..], &indications, &references, &[(9, 8), (9, 8)]].concat());
    let descriptor = DependencyDescriptor::parse(&bytes, Some(&structure())).unwrap();
    assert_eq!(descriptor.active_targets, Some(0b0011));
    assert_eq!(descriptor.frame.indications, Indications::of_text("-DSR"));
    assert!(!descriptor.frame.references.are_in(u128::MAX), "130 frames back is too far to know");
}

#[test]
fn refuses_what_is_cut_short_or_endless() {
    let whole = key_frame();
    for length in 0..whole.len() - 1 {
        assert_eq!(DependencyDescriptor::parse(&whole[..length], None), None, "{length} bytes");
    }
    let endless = [&[0x80, 0, 0, 0x80][..], &[0; 40]].concat();
    assert_eq!(DependencyDescriptor::parse(&endless, None), None);
    let too_many_layers = [&[0x80, 0, 0, 0x80][..], &[0xaa; 40]].concat();
    assert_eq!(DependencyDescriptor::parse(&too_many_layers, None), None);
}

fn rewritten(bytes: &[u8], frame_number: u16, active_targets: Option<(u32, u8)>) -> Vec<u8> {
    let mut target = [0; MAX_BYTES];
    let length = rewrite(bytes, DependencyRewrite { frame_number, active_targets }, &mut target).unwrap();
    target[..length].to_vec()
}

#[test]
fn frame_numbers_change_in_place() {
    for bytes in [vec![0x85, 0x12, 0x34], key_frame()] {
        let changed = rewritten(&bytes, 0xabcd, None);
        assert_eq!(changed[1..3], [0xab, 0xcd]);
        assert_eq!((changed[0], &changed[3..]), (bytes[0], &bytes[3..]));
    }
}

#[test]
fn active_targets_are_put_in_and_replaced() {
    let structure = structure();
    let own =
        [(0, 1), (1, 1), (61, 6), (7, 16), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (1, 2), (2, 4), (0, 2)];
    for bytes in [key_frame(), vec![0x80 | 0x3f, 0, 9], bits(&own)] {
        let before = DependencyDescriptor::parse(&bytes, Some(&structure)).unwrap();
        for mask in [0b0001, 0b0110] {
            let once = rewritten(&bytes, 77, Some((mask, 4)));
            let twice = rewritten(&once, 77, Some((mask, 4)));
            for changed in [once, twice] {
                let after = DependencyDescriptor::parse(&changed, Some(&structure)).unwrap();
                let expected =
                    DependencyDescriptor { frame_number: 77, active_targets: Some(mask), ..before.clone() };
                assert_eq!(after, expected);
            }
        }
    }
}

#[test]
fn what_the_buffer_held_before_does_not_matter() {
    // The packets of one picture are rewritten one after the other, in the same buffer.
    let (first, next) = (key_frame(), vec![0x40 | 0x3f, 0, 9]);
    let mut target = [0xff; MAX_BYTES];
    for bytes in [&first, &next, &first] {
        for active_targets in [Some((0b0001, 4)), None] {
            let numbers = DependencyRewrite { frame_number: 77, active_targets };
            let length = rewrite(bytes, numbers, &mut target).unwrap();
            assert_eq!(target[..length], rewritten(bytes, 77, active_targets));
        }
    }
}

#[test]
fn what_does_not_fit_is_not_rewritten() {
    let mut target = [0; MAX_BYTES];
    let numbers = DependencyRewrite { frame_number: 1, active_targets: None };
    assert_eq!(rewrite(&[], numbers, &mut target), None);
    assert_eq!(rewrite(&[0x80], numbers, &mut target), None);
    let masked = DependencyRewrite { active_targets: Some((1, 4)), ..numbers };
    assert_eq!(rewrite(&[0x80, 0, 0, 0x80, 0], masked, &mut target), None, "a structure that is cut short");
    let mut long = vec![0x80, 0, 0, 0x08];
    long.resize(MAX_BYTES, 0xff);
    assert_eq!(rewrite(&long, masked, &mut [0; MAX_BYTES]), None, "no room for a mask");
}
