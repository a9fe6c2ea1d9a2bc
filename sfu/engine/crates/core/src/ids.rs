//! Identifiers that cross the engine's boundary.
//!
//! All of them are chosen by the control plane (Python), are unique for the life of the process and are never
//! reused, so a late command or event can name something that is gone without ever naming something else.
//! They are node-neutral: nothing in an id says which shard owns the thing.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// A room: the scope of data fan-out and of audio level reports.
    RoomId
);
id!(
    /// A participant of a room, in one joining (a rejoin is a new id).
    ParticipantId
);
id!(
    /// One ICE + DTLS + SRTP + SCTP association.
    TransportId
);
id!(
    /// Media arriving for one publication.
    UpTrackId
);
id!(
    /// Media leaving for one subscription.
    DownTrackId
);
id!(
    /// What a participant sends under one handle of its own: a published data track.
    DataUpTrackId
);
id!(
    /// One participant's subscription of a data track.
    DataDownTrackId
);
id!(
    /// Pairs a command with the event that answers it.
    RequestId
);
