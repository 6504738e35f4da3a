use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the open internet, by the registries of special-purpose addresses (RFC 6890, IANA).
/// What only stands for another address (mapped, NAT64, 6to4, Teredo, ISATAP) is not: where it leads is not seen here.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This network, private, loopback.
        [0 | 10 | 127, ..] => false,
        // Shared by carriers (RFC 6598).
        [100, 64..=127, ..] => false,
        // Link-local; cloud metadata lives here.
        [169, 254, ..] => false,
        [172, 16..=31, ..] | [192, 168, ..] => false,
        // Protocol assignments, documentation, 6to4 relays.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => false,
        // Benchmarks, documentation.
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => false,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => false,
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    // Only 2000::/3 is given out as global unicast. So loopback, unspecified, mapped, NAT64, discard-only, unique local,
    // link-local and multicast need no line of their own.
    if s[0] & 0xe000 != 0x2000 {
        return false;
    }
    // Protocol assignments 2001::/23, Teredo (2001::/32) and benchmarks among them.
    let is_protocol = s[0] == 0x2001 && s[1] < 0x0200;
    let is_documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || (s[0] == 0x3fff && s[1] < 0x1000);
    let is_6to4 = s[0] == 0x2002;
    // An IPv4 address inside (RFC 5214).
    let is_isatap = s[4] & 0xfcff == 0 && s[5] == 0x5efe;
    !(is_protocol || is_documentation || is_6to4 || is_isatap)
}
