//! The engine's events as Python objects: one frozen class each.

use std::collections::HashMap;

use plenum_core as core;
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{PyClass, PyClassInitializer};

macro_rules! event_classes {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[pyclass(frozen, get_all, module = "sfu._engine")]
            pub(crate) struct $name { $($field: $type),* }

            #[pymethods]
            impl $name {
                fn __repr__(&self) -> String {
                    let fields: Vec<String> =
                        vec![$(format!("{}={:?}", stringify!($field), self.$field)),*];
                    format!("{}({})", stringify!($name), fields.join(", "))
                }
            }
        )*

        /// Adds every event class to the module.
        pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add_class::<$name>()?;)*
            Ok(())
        }

        /// All event classes.
        pub(crate) fn classes(py: Python<'_>) -> Vec<Bound<'_, PyType>> {
            vec![$(py.get_type::<$name>()),*]
        }
    };
}

event_classes! {
    /// Answer to an offer, ready to send.
    Answer { transport: u64, request: u64, sdp: String, mid_to_track: HashMap<String, String> }
    /// An offer of ours, ready to send.
    Offer { transport: u64, request: u64, sdp: String, mid_to_track: HashMap<String, String> }
    /// The client must offer again, with that many more `recvonly` lines.
    MediaSectionsRequired { transport: u64, audio: u32, video: u32 }
    /// An offer or answer was refused.
    NegotiationFailed { transport: u64, request: u64, reason: String }
    /// ICE and DTLS are up.
    TransportConnected { transport: u64, tcp: bool }
    /// The transport ended by itself.
    TransportFailed { transport: u64, reason: &'static str }
    /// Which reliable packet of a participant arrived last.
    LastSequence { participant: u64, sequence: u32 }
    /// First media packet of an up track.
    UpTrackStarted { up_track: u64, mime_type: &'static str }
    /// The down track's packets flow from now on.
    DownTrackBound { down_track: u64, mime_types: Vec<&'static str> }
    /// The subscriber cannot take the codec.
    DownTrackCodecUnsupported { down_track: u64, up_track: u64 }
    /// A down track is paused for want of rate, or goes on.
    DownTrackPaused { down_track: u64, paused: bool }
    /// Audio activity of a room.
    AudioLevels { room: u64, levels: Vec<(u64, u8, u32)> }
    /// Connections of a room became better or worse.
    QualityChanged { room: u64, changed: Vec<(u64, &'static str, f32)> }
    /// Answer to `snapshot`.
    Snapshot { request: u64, json: String }
    /// A line for the log.
    Logged { shard: u16, level: &'static str, text: String }
    /// A shard panicked; all its transports are gone.
    ShardFailed { shard: u16 }
}

/// Makes the Python object of an event; `None` for one that this binding does not know.
pub(crate) fn to_python(py: Python<'_>, event: core::Event) -> PyResult<Option<Py<PyAny>>> {
    use core::Event as E;
    let object = match event {
        E::Answer { transport, request, sdp, mid_to_track } => {
            let mid_to_track = mid_to_track.into_iter().collect();
            any(py, Answer { transport: transport.0, request: request.0, sdp, mid_to_track })
        }
        E::Offer { transport, request, sdp, mid_to_track } => {
            let mid_to_track = mid_to_track.into_iter().collect();
            any(py, Offer { transport: transport.0, request: request.0, sdp, mid_to_track })
        }
        E::MediaSectionsRequired { transport, audio, video } => {
            any(py, MediaSectionsRequired { transport: transport.0, audio, video })
        }
        E::NegotiationFailed { transport, request, reason } => {
            any(py, NegotiationFailed { transport: transport.0, request: request.0, reason })
        }
        E::TransportConnected { transport, tcp } => {
            any(py, TransportConnected { transport: transport.0, tcp })
        }
        E::TransportFailed { transport, failure } => {
            any(py, TransportFailed { transport: transport.0, reason: failure.as_str() })
        }
        E::LastSequence { participant, sequence } => {
            any(py, LastSequence { participant: participant.0, sequence })
        }
        E::UpTrackStarted { up_track, mime_type } => {
            any(py, UpTrackStarted { up_track: up_track.0, mime_type })
        }
        E::DownTrackBound { down_track, mime_types } => {
            any(py, DownTrackBound { down_track: down_track.0, mime_types })
        }
        E::DownTrackCodecUnsupported { down_track, up_track } => {
            any(py, DownTrackCodecUnsupported { down_track: down_track.0, up_track: up_track.0 })
        }
        E::DownTrackPaused { down_track, paused } => {
            any(py, DownTrackPaused { down_track: down_track.0, paused })
        }
        E::AudioLevels { room, levels } => {
            let levels =
                levels.iter().map(|level| (level.up_track.0, level.level, level.active_ms)).collect();
            any(py, AudioLevels { room: room.0, levels })
        }
        E::QualityChanged { room, changed } => {
            let triple = |change: &core::ParticipantQuality| {
                (change.participant.0, change.quality.as_str(), change.score)
            };
            any(py, QualityChanged { room: room.0, changed: changed.iter().map(triple).collect() })
        }
        E::Snapshot { request, json } => any(py, Snapshot { request: request.0, json }),
        E::Logged { shard, level, text } => any(py, Logged { shard, level: level.as_str(), text }),
        E::ShardFailed { shard } => any(py, ShardFailed { shard }),
        _ => return Ok(None),
    };
    object.map(Some)
}

fn any<T: PyClass>(py: Python<'_>, event: impl Into<PyClassInitializer<T>>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, event)?.into_any())
}
