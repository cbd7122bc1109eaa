//! The machine's own addresses.

use std::io;
use std::net::Ipv4Addr;

use super::check;

/// The IPv4 addresses of all interfaces, in the kernel's order.
///
/// # Errors
/// The kernel's (memory).
pub fn own_addresses() -> io::Result<Vec<Ipv4Addr>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call writes a list into the local, which is freed below.
    check(unsafe { libc::getifaddrs(&raw mut first) })?;
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: the list is the call's own and ends with a null; nothing changes it meanwhile.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: an address is null or points into the list.
        let Some(address) = (unsafe { entry.ifa_addr.as_ref() }) else { continue };
        if i32::from(address.sa_family) == libc::AF_INET {
            // SAFETY: the family says that it is a sockaddr_in; reading needs no alignment.
            let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            found.push(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)));
        }
    }
    // SAFETY: the list came from getifaddrs and nothing of it is kept.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}
