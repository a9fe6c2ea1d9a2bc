//! Redundant audio between what a publisher sends and what its subscribers take: where a packet stands, which lost ones
//! come back with it, and the RED that is made of Opus. All of it is done once per packet of the up track.

use std::sync::Arc;

use str0m::rtp::ExtensionValues;

use crate::downtrack::Packet;
use crate::room::{Bare, Gathered, Standing, UpEntry};
use crate::rtp::Codec;
use crate::transport::Transport;
use crate::uptrack::{Arrival, Recovered};

/// Notes an audio packet. Gives the lost ones that it brings back, oldest first; they belong before it.
pub(super) fn restore(transport: &Transport, up: &mut UpEntry, gathered: &mut Gathered) -> Vec<Gathered> {
    let format = up.formats[gathered.format];
    if !matches!(format.codec, Codec::Opus | Codec::Red) || up.trailer.is_some() {
        return Vec::new();
    }
    let mut redundancy = up.redundancy.take().unwrap_or_default();
    if gathered.is_restart || gathered.follows_mute {
        redundancy.forget();
    }
    let Packet { seq, timestamp, .. } = gathered.packet;
    if redundancy.recovery.arrive(seq, timestamp, &gathered.payload) == Arrival::Late {
        gathered.standing = Standing::Late;
    }
    let mut found = Vec::new(); // allocates only when something was lost
    if format.codec == Codec::Red && redundancy.wants_plain {
        let recovered = redundancy.recovery.recover(seq, timestamp, &gathered.payload);
        found.extend(recovered.iter().map(|recovered| plain(transport, up, gathered, recovered)));
    } else if format.codec == Codec::Opus && redundancy.wants_redundant && !gathered.packet.is_padding {
        let made = redundancy.made.encode(*format.payload_type, seq, timestamp, &gathered.payload);
        gathered.redundant = Some(made);
    }
    if let Some(first) = found.first_mut() {
        // What the packet says of those before it holds from the first that is sent.
        first.is_restart = gathered.is_restart;
        first.follows_mute = gathered.follows_mute;
    }
    up.redundancy = Some(redundancy);
    found
}

/// A recovered packet, as if it had come just before the one that brought it.
fn plain(transport: &Transport, up: &UpEntry, carrier: &Gathered, recovered: &Recovered<'_>) -> Gathered {
    let stream = carrier.packet.stream;
    let timestamp = recovered.timestamp;
    let payload: Arc<[u8]> = recovered.payload.into();
    Gathered {
        arrived_at: carrier.arrived_at,
        wallclock: transport.clock.instant_of(up.track.ntp_time(stream, timestamp), carrier.arrived_at),
        packet: Packet {
            seq: recovered.seq,
            timestamp,
            reference_timestamp: up.track.reference_timestamp(stream, timestamp),
            ..carrier.packet
        },
        is_restart: false,
        follows_mute: false,
        marker: false,
        format: carrier.format,
        codec: carrier.codec,
        bare: Bare::default(),
        primary: Some(Arc::clone(&payload)),
        payload,
        redundant: None,
        standing: Standing::Recovered,
        descriptor: None,
        extensions: ExtensionValues::default(),
    }
}
