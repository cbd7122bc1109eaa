//! Waits for what must be there before the server starts.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::StartError;
use crate::log;
use crate::options::{Address, Options, Thing};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// An address that does not answer is asked again.
const CONNECT: Duration = Duration::from_secs(1);

/// Waits for interfaces, files and mounts. uWSGI: before the hooks that run as root.
///
/// # Errors
/// One is not there in time.
pub fn before_hooks(options: &Options) -> Result<(), StartError> {
    let things = options.awaited.things.iter();
    things.filter(|thing| !matches!(thing, Thing::Socket(..))).try_for_each(|t| wait(t, options))
}

/// Waits for sockets. uWSGI: before the app is loaded.
///
/// # Errors
/// One is not there in time.
pub fn before_app(options: &Options) -> Result<(), StartError> {
    let things = options.awaited.things.iter();
    things.filter(|thing| matches!(thing, Thing::Socket(..))).try_for_each(|t| wait(t, options))
}

fn wait(thing: &Thing, options: &Options) -> Result<(), StartError> {
    let (name, seconds) = match thing {
        Thing::Interface(name) => (format!("interface {name}"), options.awaited.interface_s),
        Thing::File(path) | Thing::Mountpoint(path) => {
            (path.display().to_string(), options.awaited.file_s)
        }
        Thing::Socket(_, name) => (name.clone(), options.awaited.socket_s),
    };
    log::line(format_args!("waiting for {name} (max {seconds} seconds) ..."));
    let end = Instant::now() + Duration::from_secs(seconds);
    while !is_there(thing) {
        if Instant::now() >= end {
            let why = format!("{name} unavailable after {seconds} seconds");
            return Err(StartError::new(why));
        }
        std::thread::sleep(PAUSE);
    }
    log::line(format_args!("{name} found"));
    Ok(())
}

fn is_there(thing: &Thing) -> bool {
    match thing {
        Thing::Interface(name) => Path::new("/sys/class/net").join(name).exists(),
        Thing::File(path) => path.exists(),
        Thing::Mountpoint(path) => is_mounted_on(path),
        Thing::Socket(address, _) => listens(address),
    }
}

/// Whether the directory lies on another file system than its parent, or is the root of all.
fn is_mounted_on(path: &Path) -> bool {
    let (here, above) = (path.metadata(), path.join("..").metadata());
    let (Ok(here), Ok(above)) = (here, above) else { return false };
    here.is_dir() && (here.dev() != above.dev() || here.ino() == above.ino())
}

fn listens(address: &Address) -> bool {
    match address {
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "127.0.0.1" } else { host };
            let Ok(mut found) = (host, *port).to_socket_addrs() else { return false };
            found.any(|address| TcpStream::connect_timeout(&address, CONNECT).is_ok())
        }
        Address::Unix(path) => UnixStream::connect(path).is_ok(),
        Address::Abstract(name) => SocketAddr::from_abstract_name(name)
            .is_ok_and(|address| UnixStream::connect_addr(&address).is_ok()),
        // One that is open already.
        Address::Fd(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_from_directories() {
        assert!(is_mounted_on(Path::new("/")));
        assert!(is_mounted_on(Path::new("/proc")));
        assert!(!is_mounted_on(Path::new("/proc/self")));
        assert!(!is_mounted_on(Path::new("/proc/version")));
        assert!(!is_mounted_on(Path::new("/no/such/place")));
    }
}
