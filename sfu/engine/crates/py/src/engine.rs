//! `Engine`: each method converts its arguments into a command and queues it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plenum_core as core;
use plenum_core::{Command, PlayoutLimits, TransportOptions, TransportSeed};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::config::EngineConfig;
use crate::error::BindingError;
use crate::events;
use crate::negotiation::{PublishLine, RemoteOffer};

/// All shards of this process.
#[pyclass(frozen, module = "sfu._engine")]
pub(crate) struct Engine(plenum_io::Engine);

impl Engine {
    fn submit(&self, command: Command) -> Result<(), BindingError> {
        Ok(self.0.submit(command)?)
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, config: &EngineConfig) -> Result<Self, BindingError> {
        let config = &config.0;
        Ok(Self(py.detach(|| plenum_io::Engine::start(config))?))
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.0.event_descriptor()
    }

    #[getter]
    fn udp_addresses(&self) -> Vec<String> {
        self.0.udp_addresses().iter().map(ToString::to_string).collect()
    }

    #[getter]
    fn tcp_addresses(&self) -> Vec<String> {
        self.0.tcp_addresses().iter().map(ToString::to_string).collect()
    }

    #[getter]
    fn candidates(&self) -> Vec<String> {
        self.0.candidates()
    }

    #[pyo3(signature = (limit = 1024))]
    fn drain(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<Py<PyAny>>> {
        let mut objects = Vec::new();
        for event in self.0.drain(limit) {
            objects.extend(events::to_python(py, event)?);
        }
        Ok(objects)
    }

    fn counters(&self) -> HashMap<String, u64> {
        self.0.counters().into_iter().collect()
    }

    #[pyo3(signature = (room, participant, *, sid, identity, can_publish_data, hidden, agent))]
    #[expect(clippy::too_many_arguments)] // keyword arguments of Python
    fn add_participant(
        &self,
        room: u64,
        participant: u64,
        sid: &str,
        identity: &str,
        can_publish_data: bool,
        hidden: bool,
        agent: bool,
    ) -> Result<(), BindingError> {
        let profile = profile(sid, identity, can_publish_data, hidden, agent);
        self.submit(Command::AddParticipant { room: room.into(), participant: participant.into(), profile })
    }

    #[pyo3(signature = (participant, *, sid, identity, can_publish_data, hidden, agent))]
    fn update_participant(
        &self,
        participant: u64,
        sid: &str,
        identity: &str,
        can_publish_data: bool,
        hidden: bool,
        agent: bool,
    ) -> Result<(), BindingError> {
        let profile = profile(sid, identity, can_publish_data, hidden, agent);
        self.submit(Command::UpdateParticipant { participant: participant.into(), profile })
    }

    fn remove_participant(&self, participant: u64) -> Result<(), BindingError> {
        self.submit(Command::RemoveParticipant { participant: participant.into() })
    }

    #[pyo3(
        signature = (
            participant, transport, role, *, tcp_only = false, mime_types = Vec::new(), ice_lite = None,
            playout_delay_ms = None
        ),
        text_signature = "($self, participant, transport, role, *, tcp_only=False, mime_types=(), ice_lite=None, \
            playout_delay_ms=None)"
    )]
    #[expect(clippy::too_many_arguments)] // keyword arguments of Python
    fn open_transport(
        &self,
        py: Python<'_>,
        participant: u64,
        transport: u64,
        role: &str,
        tcp_only: bool,
        mime_types: Vec<String>,
        ice_lite: Option<bool>,
        playout_delay_ms: Option<(u64, u64)>,
    ) -> Result<(), BindingError> {
        let role = parse_role(role)?;
        py.detach(|| {
            let mut options = self.options(tcp_only, mime_types);
            options.ice_lite = ice_lite.unwrap_or(options.ice_lite);
            options.playout = playout_delay_ms
                .map(|(min, max)| PlayoutLimits::new(Duration::from_millis(min), Duration::from_millis(max)));
            let seed = TransportSeed::build(transport.into(), role, &options, Instant::now());
            self.submit(Command::OpenTransport { participant: participant.into(), seed: Box::new(seed) })
        })
    }

    fn close_transport(&self, transport: u64) -> Result<(), BindingError> {
        self.submit(Command::CloseTransport { transport: transport.into() })
    }

    #[expect(clippy::needless_pass_by_value)] // what PyO3 extracts is owned
    fn accept_offer(
        &self,
        transport: u64,
        request: u64,
        offer: &RemoteOffer,
        publish: Vec<PyRef<'_, PublishLine>>,
    ) -> Result<(), BindingError> {
        self.submit(Command::AcceptOffer {
            transport: transport.into(),
            request: request.into(),
            offer: Box::new(offer.0.clone()),
            publish: publish.iter().map(|line| line.line()).collect(),
        })
    }

    fn accept_answer(&self, transport: u64, request: u64, sdp: String) -> Result<(), BindingError> {
        self.submit(Command::AcceptAnswer { transport: transport.into(), request: request.into(), sdp })
    }

    fn add_remote_candidate(&self, transport: u64, candidate: String) -> Result<(), BindingError> {
        self.submit(Command::AddRemoteCandidate { transport: transport.into(), candidate })
    }

    fn restart_ice(&self, transport: u64) -> Result<(), BindingError> {
        self.submit(Command::RestartIce { transport: transport.into() })
    }

    fn ask_last_sequence(&self, participant: u64) -> Result<(), BindingError> {
        self.submit(Command::AskLastSequence { participant: participant.into() })
    }

    fn replay_data(&self, participant: u64, received: Vec<(String, u32)>) -> Result<(), BindingError> {
        let received = received.into_iter().map(|(sid, sequence)| (sid.into(), sequence)).collect();
        self.submit(Command::ReplayData { participant: participant.into(), received })
    }

    fn mute_up_track(&self, up_track: u64, muted: bool) -> Result<(), BindingError> {
        self.submit(Command::MuteUpTrack { up_track: up_track.into(), muted })
    }

    fn close_up_track(&self, up_track: u64) -> Result<(), BindingError> {
        self.submit(Command::CloseUpTrack { up_track: up_track.into() })
    }

    #[pyo3(signature = (
        down_track, transport, up_track, kind, *, stream_id, track_sid, stereo = false, enabled = true,
        strip_trailer = false
    ))]
    #[expect(clippy::too_many_arguments)] // keyword arguments of Python
    fn add_down_track(
        &self,
        down_track: u64,
        transport: u64,
        up_track: u64,
        kind: &str,
        stream_id: String,
        track_sid: String,
        stereo: bool,
        enabled: bool,
        strip_trailer: bool,
    ) -> Result<(), BindingError> {
        self.submit(Command::AddDownTrack {
            down_track: down_track.into(),
            transport: transport.into(),
            up_track: up_track.into(),
            kind: parse_media_kind(kind)?,
            stream_id: stream_id.into(),
            track_sid: track_sid.into(),
            stereo,
            enabled,
            strip_trailer,
        })
    }

    fn enable_down_track(&self, down_track: u64, enabled: bool) -> Result<(), BindingError> {
        self.submit(Command::EnableDownTrack { down_track: down_track.into(), enabled })
    }

    fn set_down_track_layers(
        &self,
        down_track: u64,
        max_spatial: u8,
        max_fps: u16,
    ) -> Result<(), BindingError> {
        let down_track = down_track.into();
        self.submit(Command::SetDownTrackLayers { down_track, max_spatial, max_fps })
    }

    fn set_down_track_priority(&self, down_track: u64, priority: u16) -> Result<(), BindingError> {
        self.submit(Command::SetDownTrackPriority { down_track: down_track.into(), priority })
    }

    fn allow_pause(&self, transport: u64, allowed: bool) -> Result<(), BindingError> {
        self.submit(Command::AllowPause { transport: transport.into(), allowed })
    }

    #[pyo3(signature = (transport, rate_bps))]
    fn simulate_rate(&self, transport: u64, rate_bps: Option<u64>) -> Result<(), BindingError> {
        self.submit(Command::SimulateRate { transport: transport.into(), rate_bps })
    }

    fn move_down_track(&self, down_track: u64, up_track: u64) -> Result<(), BindingError> {
        self.submit(Command::MoveDownTrack { down_track: down_track.into(), up_track: up_track.into() })
    }

    fn remove_down_track(&self, down_track: u64) -> Result<(), BindingError> {
        self.submit(Command::RemoveDownTrack { down_track: down_track.into() })
    }

    fn add_data_up_track(
        &self,
        data_up_track: u64,
        participant: u64,
        handle: u16,
    ) -> Result<(), BindingError> {
        self.submit(Command::AddDataUpTrack {
            data_up_track: data_up_track.into(),
            participant: participant.into(),
            handle,
        })
    }

    fn close_data_up_track(&self, data_up_track: u64) -> Result<(), BindingError> {
        self.submit(Command::CloseDataUpTrack { data_up_track: data_up_track.into() })
    }

    #[pyo3(signature = (data_down_track, data_up_track, participant, handle, *, frames_per_s = None))]
    fn add_data_down_track(
        &self,
        data_down_track: u64,
        data_up_track: u64,
        participant: u64,
        handle: u16,
        frames_per_s: Option<u32>,
    ) -> Result<(), BindingError> {
        self.submit(Command::AddDataDownTrack {
            data_down_track: data_down_track.into(),
            data_up_track: data_up_track.into(),
            participant: participant.into(),
            handle,
            frames_per_s,
        })
    }

    fn set_data_down_track_rate(
        &self,
        data_down_track: u64,
        frames_per_s: Option<u32>,
    ) -> Result<(), BindingError> {
        let data_down_track = data_down_track.into();
        self.submit(Command::SetDataDownTrackRate { data_down_track, frames_per_s })
    }

    fn remove_data_down_track(&self, data_down_track: u64) -> Result<(), BindingError> {
        self.submit(Command::RemoveDataDownTrack { data_down_track: data_down_track.into() })
    }

    #[pyo3(signature = (room, kind, payload, destinations = None))]
    fn send_data(
        &self,
        room: u64,
        kind: &str,
        payload: &Bound<'_, PyBytes>,
        destinations: Option<Vec<u64>>,
    ) -> Result<(), BindingError> {
        self.submit(Command::SendData {
            room: room.into(),
            kind: parse_data_kind(kind)?,
            payload: Arc::from(payload.as_bytes()),
            destinations: destinations.map(|ids| ids.into_iter().map(Into::into).collect()),
        })
    }

    fn snapshot(&self, request: u64, transport: u64) -> Result<(), BindingError> {
        self.submit(Command::Snapshot { request: request.into(), transport: transport.into() })
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

impl Engine {
    fn options(&self, tcp_only: bool, mime_types: Vec<String>) -> TransportOptions {
        let mut options = self.0.transport_options().clone();
        if tcp_only {
            options.candidates.retain(|candidate| candidate.tcp);
        }
        options.codecs.mime_types = mime_types;
        options
    }
}

fn profile(
    sid: &str,
    identity: &str,
    can_publish_data: bool,
    hidden: bool,
    agent: bool,
) -> core::DataProfile {
    core::DataProfile { sid: sid.into(), identity: identity.into(), can_publish_data, hidden, agent }
}

fn parse_role(role: &str) -> Result<core::TransportRole, BindingError> {
    match role {
        "publisher" => Ok(core::TransportRole::Publisher),
        "subscriber" => Ok(core::TransportRole::Subscriber),
        "both" => Ok(core::TransportRole::Both),
        _ => Err(BindingError::OutOfRange { name: "role", expected: "'publisher', 'subscriber' or 'both'" }),
    }
}

fn parse_media_kind(kind: &str) -> Result<core::MediaKind, BindingError> {
    match kind {
        "audio" => Ok(core::MediaKind::Audio),
        "video" => Ok(core::MediaKind::Video),
        _ => Err(BindingError::OutOfRange { name: "kind", expected: "'audio' or 'video'" }),
    }
}

fn parse_data_kind(kind: &str) -> Result<core::DataKind, BindingError> {
    match kind {
        "reliable" => Ok(core::DataKind::Reliable),
        "lossy" => Ok(core::DataKind::Lossy),
        _ => Err(BindingError::OutOfRange { name: "kind", expected: "'reliable' or 'lossy'" }),
    }
}
