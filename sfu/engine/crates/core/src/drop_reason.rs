//! Why a packet was not forwarded. Every drop has exactly one of these, counted and exported as
//! `plenum_packet_dropped_total{reason}`.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Reason for which a datagram, RTP packet or data packet was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// All reasons, in the order of their discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Stable lower-case name, used as a metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Datagram of no known protocol (RFC 7983 demultiplexing).
    UnknownProtocol => "unknown_protocol",
    /// Datagram from an address that no transport has validated.
    UnknownSource => "unknown_source",
    /// STUN request for no ufrag of ours.
    UnknownUfrag => "unknown_ufrag",
    /// STUN that does not parse.
    MalformedStun => "malformed_stun",
    /// Datagram larger than any we accept.
    Oversized => "oversized",
    /// The transport refused the datagram (bad SRTP tag, replay, malformed RTP …).
    Rejected => "rejected",
    /// RTCP of a peer whose feedback causes more work than it may.
    FeedbackExceeded => "feedback_exceeded",
    /// RTP of a stream that belongs to no up track.
    UnknownStream => "unknown_stream",
    /// RTP with a payload type that was not negotiated.
    UnknownPayloadType => "unknown_payload_type",
    /// Padding without payload; the sequence gap is closed.
    PaddingOnly => "padding_only",
    /// The publication is muted.
    UpTrackMuted => "up_track_muted",
    /// The subscriber disabled the track.
    DownTrackDisabled => "down_track_disabled",
    /// The down track is paused: the path to its subscriber does not bear it.
    DownTrackPaused => "down_track_paused",
    /// The down track has no negotiated m-line, or its transport no connection, yet.
    NotBound => "not_bound",
    /// Not the layer this subscriber is given.
    LayerNotSelected => "layer_not_selected",
    /// Waiting for a key frame to start or to switch.
    AwaitingKeyFrame => "awaiting_key_frame",
    /// Older than what the down track has closed over.
    TooOld => "too_old",
    /// The subscriber, who takes no RED, has got it already: it was recovered from a later packet.
    AlreadyRecovered => "already_recovered",
    /// The subscriber cannot take the codec.
    CodecUnsupported => "codec_unsupported",
    /// RED or payload descriptor that does not parse.
    MalformedPayload => "malformed_payload",
    /// Data packet from a participant without `canPublishData`.
    DataNotPermitted => "data_not_permitted",
    /// Data packet that is not a `livekit.DataPacket`, or too large.
    MalformedData => "malformed_data",
    /// Data packet seen before (reliable sequence or nonce).
    DuplicateData => "duplicate_data",
    /// Transcription from somebody who is no agent.
    TranscriptionNotPermitted => "transcription_not_permitted",
    /// Kind of data packet that is never forwarded.
    DataKindNotForwarded => "data_kind_not_forwarded",
    /// Data track packet whose header does not parse.
    MalformedDataTrack => "malformed_data_track",
    /// Data track packet of a handle that its sender has not published (any more).
    UnknownDataTrack => "unknown_data_track",
    /// Packet of a data track's frame above the rate that the subscriber asked for.
    DataTrackRate => "data_track_rate",
    /// Packet of a data track's frame that would wait too long for a subscriber.
    DataTrackCongested => "data_track_congested",
    /// Lossy data for a receiver whose queue is full, or whose path carries so little that it has waited too long.
    LossyQueueFull => "lossy_queue_full",
    /// Reliable data for a receiver whose queue is full; that receiver is closed when it has stopped reading.
    ReliableQueueFull => "reliable_queue_full",
    /// Data for a receiver whose channel is not open yet, beyond what is kept for it.
    ChannelNotOpen => "channel_not_open",
    /// Datagram with data of a participant who sends more than it may; its association sends it again, more slowly.
    DataRateExceeded => "data_rate_exceeded",
    /// The kernel refused to send: no route, filtered, larger than the path, or the TCP connection has ended.
    SendRefused => "send_refused",
    /// The kernel's send buffer was full.
    SendBufferFull => "send_buffer_full",
    /// A TCP peer reads too slowly.
    TcpQueueFull => "tcp_queue_full",
}
