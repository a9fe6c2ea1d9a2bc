//! What goes into a negotiation: the parsed offer and how its lines are bound.

use plenum_core::sdp::{self, CodecPolicy};
use plenum_core::{MediaKind, UpTrackId};
use pyo3::prelude::*;

use crate::error::BindingError;

/// One m-line of a client's offer.
#[pyclass(frozen, get_all, module = "sfu._engine")]
pub(crate) struct OfferedMedia {
    mid: String,
    kind: &'static str,
    direction: &'static str,
    stream_id: String,
    track_id: String,
    rids: Vec<String>,
    mime_types: Vec<String>,
}

impl From<&sdp::OfferedMedia> for OfferedMedia {
    fn from(media: &sdp::OfferedMedia) -> Self {
        Self {
            mid: media.mid.clone(),
            kind: match media.kind {
                MediaKind::Audio => "audio",
                MediaKind::Video => "video",
            },
            direction: match media.direction {
                sdp::Direction::SendRecv => "sendrecv",
                sdp::Direction::SendOnly => "sendonly",
                sdp::Direction::RecvOnly => "recvonly",
                sdp::Direction::Inactive => "inactive",
            },
            stream_id: media.stream_id.clone(),
            track_id: media.track_id.clone(),
            rids: media.rids.clone(),
            mime_types: media.mime_types.clone(),
        }
    }
}

/// A client's offer: parsed, checked and filtered once.
#[pyclass(frozen, module = "sfu._engine")]
pub(crate) struct RemoteOffer(pub(crate) sdp::RemoteOffer);

#[pymethods]
impl RemoteOffer {
    #[new]
    #[pyo3(signature = (sdp, mime_types = Vec::new()), text_signature = "(sdp, mime_types=())")]
    fn new(py: Python<'_>, sdp: &str, mime_types: Vec<String>) -> Result<Self, BindingError> {
        let policy = CodecPolicy { mime_types };
        Ok(Self(py.detach(|| sdp::RemoteOffer::parse(sdp, &policy))?))
    }

    #[getter]
    fn media(&self) -> Vec<OfferedMedia> {
        self.0.media.iter().map(OfferedMedia::from).collect()
    }

    #[getter]
    fn has_data(&self) -> bool {
        self.0.has_data
    }
}

/// How one sending m-line of an offer is bound to an up track and answered.
#[pyclass(frozen, module = "sfu._engine")]
pub(crate) struct PublishLine(plenum_core::PublishLine);

impl PublishLine {
    pub(crate) fn line(&self) -> plenum_core::PublishLine {
        self.0.clone()
    }
}

#[pymethods]
impl PublishLine {
    #[new]
    #[pyo3(signature = (
        *, mid, up_track, codec = None, codec_only = false, dtx = true, stereo = false, red = true, speaker = false,
        muted = false, trailer = Vec::new()
    ), text_signature = "(*, mid, up_track, codec=None, codec_only=False, dtx=True, stereo=False, red=True, \
        speaker=False, muted=False, trailer=b'')")]
    #[expect(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keyword arguments of Python
    fn new(
        mid: String,
        up_track: u64,
        codec: Option<String>,
        codec_only: bool,
        dtx: bool,
        stereo: bool,
        red: bool,
        speaker: bool,
        muted: bool,
        trailer: Vec<u8>,
    ) -> Self {
        Self(plenum_core::PublishLine {
            mid: mid.into(),
            up_track: UpTrackId(up_track),
            codec: codec.map(String::into_boxed_str),
            codec_only,
            dtx,
            stereo,
            red,
            speaker,
            muted,
            trailer: (!trailer.is_empty()).then(|| trailer.into()),
        })
    }
}
