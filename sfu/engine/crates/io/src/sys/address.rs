//! `SocketAddr` to and from the kernel's structures.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an IPv4 or IPv6 address; which of them it holds is told by the family, the first field of both.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union RawAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

const fn length<T>() -> libc::socklen_t {
    // Both structures are below 32 bytes.
    #[expect(clippy::cast_possible_truncation)]
    let bytes = size_of::<T>() as libc::socklen_t;
    bytes
}

#[expect(clippy::cast_possible_truncation)] // AF_INET is 2, AF_INET6 is 10
const FAMILY_V4: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation)]
const FAMILY_V6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;

impl RawAddress {
    /// Length of the largest address.
    pub(super) const CAPACITY: libc::socklen_t = length::<Self>();

    /// All zero: family `AF_UNSPEC`.
    pub(super) const fn empty() -> Self {
        let v6 = libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        };
        Self { v6 }
    }

    /// The kernel's form of `address`, and its length.
    pub(super) fn encode(address: SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(address) => {
                let v4 = libc::sockaddr_in {
                    sin_family: FAMILY_V4,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, length::<libc::sockaddr_in>())
            }
            SocketAddr::V6(address) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: FAMILY_V6,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                (Self { v6 }, length::<libc::sockaddr_in6>())
            }
        }
    }

    /// What the kernel wrote; `None` for a family that is neither IPv4 nor IPv6.
    pub(super) fn decode(&self) -> Option<SocketAddr> {
        // SAFETY: every variant begins with the family, and all bytes are initialised from `empty` on.
        match unsafe { self.family } {
            FAMILY_V4 => {
                // SAFETY: the family says so; all bit patterns are valid.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            FAMILY_V6 => {
                // SAFETY: the family says so; all bit patterns are valid.
                let v6 = unsafe { self.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(
                    SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id)
                        .into(),
                )
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["127.0.0.1:7882", "[::1]:65535", "[fe80::1%3]:9", "203.0.113.9:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::encode(address).0.decode(), Some(address));
        }
        assert_eq!(RawAddress::empty().decode(), None);
    }
}
