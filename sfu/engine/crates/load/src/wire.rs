//! The part of LiveKit's protobuf messages (`livekit_rtc.proto`, `livekit_models.proto`) that a load client needs.
//! Fields that it does not read are left out; protobuf skips them.

use prost::{Message, Oneof};

/// Client to server.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SignalRequest {
    #[prost(oneof = "Request", tags = "1, 2, 3, 4, 8, 16")]
    pub(crate) message: Option<Request>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Request {
    #[prost(message, tag = "1")]
    Offer(SessionDescription),
    #[prost(message, tag = "2")]
    Answer(SessionDescription),
    #[prost(message, tag = "3")]
    Trickle(TrickleRequest),
    #[prost(message, tag = "4")]
    AddTrack(AddTrackRequest),
    #[prost(message, tag = "8")]
    Leave(LeaveRequest),
    #[prost(message, tag = "16")]
    Ping(Ping),
}

/// Server to client.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SignalResponse {
    #[prost(oneof = "Response", tags = "1, 2, 3, 4, 6, 8, 25")]
    pub(crate) message: Option<Response>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Response {
    #[prost(message, tag = "1")]
    Join(JoinResponse),
    #[prost(message, tag = "2")]
    Answer(SessionDescription),
    #[prost(message, tag = "3")]
    Offer(SessionDescription),
    #[prost(message, tag = "4")]
    Trickle(TrickleRequest),
    #[prost(message, tag = "6")]
    TrackPublished(TrackPublishedResponse),
    #[prost(message, tag = "8")]
    Leave(LeaveRequest),
    #[prost(message, tag = "25")]
    MediaSectionsRequirement(MediaSectionsRequirement),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionDescription {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(string, tag = "2")]
    pub(crate) sdp: String,
    #[prost(uint32, tag = "3")]
    pub(crate) id: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TrickleRequest {
    /// JSON of `RTCIceCandidateInit`.
    #[prost(string, tag = "1")]
    pub(crate) candidate_init: String,
    /// 0: the publisher association, 1: the subscriber one.
    #[prost(int32, tag = "2")]
    pub(crate) target: i32,
}

pub(crate) const TARGET_PUBLISHER: i32 = 0;
pub(crate) const TARGET_SUBSCRIBER: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AddTrackRequest {
    #[prost(string, tag = "1")]
    pub(crate) cid: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// 0: audio, 1: video.
    #[prost(int32, tag = "3")]
    pub(crate) kind: i32,
    #[prost(uint32, tag = "4")]
    pub(crate) width: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) height: u32,
    /// 1: camera, 2: microphone.
    #[prost(int32, tag = "8")]
    pub(crate) source: i32,
    #[prost(bool, tag = "13")]
    pub(crate) disable_red: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinResponse {
    #[prost(string, tag = "4")]
    pub(crate) server_version: String,
    /// Seconds.
    #[prost(int32, tag = "11")]
    pub(crate) ping_interval: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TrackPublishedResponse {
    #[prost(string, tag = "1")]
    pub(crate) cid: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaveRequest {
    #[prost(int32, tag = "2")]
    pub(crate) reason: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ping {
    /// Milliseconds.
    #[prost(int64, tag = "1")]
    pub(crate) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MediaSectionsRequirement {
    #[prost(uint32, tag = "1")]
    pub(crate) num_audios: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) num_videos: u32,
}

/// Parameter `join_request` of `/rtc/v1`, base64url.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WrappedJoinRequest {
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) join_request: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) client_info: Option<ClientVersion>,
    #[prost(message, optional, tag = "2")]
    pub(crate) connection_settings: Option<ConnectionSettings>,
    #[prost(message, optional, tag = "6")]
    pub(crate) publisher_offer: Option<SessionDescription>,
}

/// `livekit.ClientInfo`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ClientVersion {
    /// 8: the Rust SDK.
    #[prost(int32, tag = "1")]
    pub(crate) sdk: i32,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(int32, tag = "3")]
    pub(crate) protocol: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ConnectionSettings {
    #[prost(bool, tag = "1")]
    pub(crate) auto_subscribe: bool,
}

/// Message on a data channel.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DataPacket {
    #[prost(message, optional, tag = "2")]
    pub(crate) user: Option<UserPacket>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UserPacket {
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) payload: Vec<u8>,
}
