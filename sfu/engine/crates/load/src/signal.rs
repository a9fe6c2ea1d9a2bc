//! Signalling of one participant: a WebSocket with protobuf frames. Blocking while it opens, non-blocking from then on.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use data_encoding::BASE64URL;
use prost::Message as _;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::args::JoinMode;
use crate::error::LoadError;
use crate::wire::{
    ClientVersion, ConnectionSettings, JoinRequest, Request, Response, SessionDescription, SignalRequest,
    SignalResponse, WrappedJoinRequest,
};

const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
const SDK_RUST: i32 = 8;
const PROTOCOL: i32 = 16;
const VERSION: &str = "1.0.0";

pub(crate) struct Signal {
    socket: WebSocket<TcpStream>,
}

impl Signal {
    /// Opens `/rtc` or `/rtc/v1`; with the latter, `offer` travels in the join request.
    pub(crate) fn open(
        url: &str,
        token: &str,
        mode: JoinMode,
        offer: Option<SessionDescription>,
    ) -> Result<Self, LoadError> {
        let (_, rest) = url.trim_end_matches('/').split_once("://").ok_or(LoadError::Url)?;
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        let target = match mode {
            JoinMode::Dual => format!("/rtc?auto_subscribe=1&sdk=rust&version={VERSION}&protocol={PROTOCOL}"),
            JoinMode::Single => format!("/rtc/v1?join_request={}", join_request(offer).replace('=', "%3D")),
        };
        let mut request = format!("ws://{authority}{base}{target}").into_client_request()?;
        let bearer = format!("Bearer {token}").parse().map_err(|_| LoadError::Url)?;
        request.headers_mut().insert("Authorization", bearer);
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(OPEN_TIMEOUT))?;
        let opened = tungstenite::client(request, stream).map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => error,
            tungstenite::HandshakeError::Interrupted(_) => {
                io::Error::new(io::ErrorKind::TimedOut, "the server did not answer the upgrade").into()
            }
        })?;
        let socket = opened.0;
        socket.get_ref().set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sends one request; what the kernel does not take at once follows with the next call.
    pub(crate) fn send(&mut self, request: Request) -> Result<(), LoadError> {
        let bytes = SignalRequest { message: Some(request) }.encode_to_vec();
        no_wait(self.socket.send(Message::binary(bytes))).map(|_| ())
    }

    /// Next response, if one has arrived.
    pub(crate) fn poll(&mut self) -> Result<Option<Response>, LoadError> {
        loop {
            match no_wait(self.socket.read())? {
                None => {
                    no_wait(self.socket.flush())?;
                    return Ok(None);
                }
                Some(Message::Binary(bytes)) => {
                    if let Some(response) = SignalResponse::decode(bytes.as_ref())?.message {
                        return Ok(Some(response));
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Ends the session politely.
    pub(crate) fn close(&mut self) -> Result<(), LoadError> {
        no_wait(self.socket.close(None)).map(|_| ())
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

/// `None` where a blocking socket would wait.
fn no_wait<T>(result: Result<T, tungstenite::Error>) -> Result<Option<T>, LoadError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn join_request(publisher_offer: Option<SessionDescription>) -> String {
    let request = JoinRequest {
        client_info: Some(ClientVersion { sdk: SDK_RUST, version: VERSION.to_owned(), protocol: PROTOCOL }),
        connection_settings: Some(ConnectionSettings { auto_subscribe: true }),
        publisher_offer,
    };
    BASE64URL.encode(&WrappedJoinRequest { join_request: request.encode_to_vec() }.encode_to_vec())
}
