//! DTLS for a media server: the certificate of the process, and a provider with retransmission timers that suit lossy
//! links (the library's default is one second and four tries; measured at 20 % loss: p50 0.93 s against 0.39 s).
//!
//! Owns no association. The provider is stateless but for its configuration, which is built once per process because
//! str0m wants a `'static` provider.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};
use str0m::crypto::{CryptoError, from_feature_flags};

use super::sending::{Keying, KeyingSlot};

/// First retransmission of a handshake flight; doubles each time.
const FLIGHT_RTO: Duration = Duration::from_millis(200);
/// Retransmissions of a flight before the handshake fails.
const FLIGHT_RETRIES: usize = 8;

/// The certificate with which every transport of a process introduces itself. One for all saves 150 µs per transport
/// and keeps the fingerprint stable.
#[derive(Clone)]
pub struct Certificate(DtlsCert);

impl Certificate {
    /// Makes a self-signed certificate with a fresh key.
    ///
    /// # Errors
    /// [`CertificateError`] when the cryptography library refuses.
    pub fn generate() -> Result<Self, CertificateError> {
        from_feature_flags().dtls_provider.generate_certificate().map(Self).ok_or(CertificateError)
    }

    pub(super) fn to_str0m(&self) -> DtlsCert {
        self.0.clone()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(…)") // never the private key
    }
}

/// No certificate could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptography library could not generate a DTLS certificate")]
pub struct CertificateError;

/// The crypto provider of every transport.
pub(super) fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        let mut provider = from_feature_flags();
        provider.dtls_provider = &QuickDtls;
        Arc::new(provider)
    });
    Arc::clone(provider)
}

/// Provider with short retransmission timers.
#[derive(Debug)]
struct QuickDtls;

impl QuickDtls {
    fn config(mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
        static CONFIG: OnceLock<(Option<usize>, Arc<dimpl::Config>)> = OnceLock::new();
        if let Some((_, config)) = CONFIG.get().filter(|(built_for, _)| *built_for == mtu) {
            return Ok(Arc::clone(config));
        }
        // ICE has proved the return path before the first handshake byte, so a cookie exchange would be redundant.
        let mut builder = dimpl::Config::builder()
            .use_server_cookie(false)
            .with_crypto_provider(dimpl::crypto::aws_lc_rs::default_provider())
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config = Arc::new(builder.build().map_err(|e| CryptoError::Other(e.to_string()))?);
        // A second MTU in one process is not cached; that is slower, not wrong.
        let _ = CONFIG.set((mtu, Arc::clone(&config)));
        Ok(config)
    }
}

impl DtlsProvider for QuickDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = Self::config(mtu)?;
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, cert.clone(), now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, cert.clone(), now),
            _ => dimpl::Dtls::new_auto(config, cert.clone(), now),
        };
        let keying = KeyingSlot::default();
        LAST_SLOT.with_borrow_mut(|last| *last = Some(Arc::clone(&keying)));
        Ok(Box::new(Endpoint { dtls, keying }))
    }
}

thread_local! {
    /// Where the association built last on this thread will leave its keys. The provider cannot tell for whom it makes
    /// an endpoint; the one who builds can.
    static LAST_SLOT: RefCell<Option<KeyingSlot>> = const { RefCell::new(None) };
}

/// Where the association that was just built on this thread will leave its keys.
pub(super) fn take_keying_slot() -> KeyingSlot {
    LAST_SLOT.with_borrow_mut(Option::take).unwrap_or_default()
}

/// One association's DTLS state. What the handshake agrees on for SRTP is noted on its way to the association.
struct Endpoint {
    dtls: dimpl::Dtls,
    keying: KeyingSlot,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

impl DtlsInstance for Endpoint {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let is_active = self.dtls.is_active();
        let output = self.dtls.poll_output(buffer);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let keying = Keying { profile: *profile, material: material.to_vec(), is_active };
            let _ = self.keying.set(keying); // a second one would be of a renegotiation, which there is none
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}
