//! What it does: makes the listening sockets, by slot: one for each address and shard.
//! What it does not: accept; remove what a successor still needs.
//! Who may call it: master, which owns them, and server, which listens on them.
//! What it may import: options, error, log, sys.
//!
//! They belong to neither shards nor server processes, so that both can be replaced around them.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::StartError;
use crate::log;
use crate::options::{Address, Buffers, Environment, Options, Protocol, SocketSpec};
use crate::sys;

/// One address with its sockets, at least one for each shard.
pub struct Listener {
    /// The address as the configuration has it: a reload finds its socket by it.
    key: String,
    /// `127.0.0.1:3031` or `/run/app.sock`.
    pub name: String,
    pub protocol: Protocol,
    backlog: u64,
    sockets: Vec<Socket>,
    pub is_unix: bool,
    /// The file to remove at exit, with its inode.
    file: Option<(PathBuf, u64)>,
    /// SERVER_PORT; empty for unix sockets.
    pub port: String,
}

/// A listener on its way into another binary.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    key: String,
    name: String,
    backlog: u64,
    pub fds: Vec<i32>,
    is_unix: bool,
    file: Option<(PathBuf, u64)>,
    port: String,
}

/// Makes the sockets for `shards` shards; those of `old` whose address is still wanted are taken
/// out of it and kept, with the connections that wait in them.
///
/// # Errors
/// One line with the address, the kernel's reason and the likely cause. `old` is whole again then.
pub fn bind(
    options: &Options,
    shards: usize,
    old: &mut Vec<Listener>,
) -> Result<Vec<Listener>, StartError> {
    if options.sockets.is_empty() {
        return Err(StartError::new(
            "nothing to listen on: give --http-socket, --http or --socket an address",
        ));
    }
    let backlog = backlog(options);
    let mut made = Made { listeners: Vec::new(), kept: Vec::new(), old };
    for (index, spec) in options.sockets.iter().enumerate() {
        let key = show(&spec.address);
        let found = made.old.iter().position(|listener| listener.key == key);
        let mut listener = match found.map(|at| made.old.remove(at)) {
            Some(listener) => {
                made.kept.push(made.listeners.len());
                made.listeners.push(listener);
                let last = made.listeners.last_mut().expect("it was pushed just now");
                last.protocol = spec.protocol;
                last.widen(shards, backlog)
                    .and_then(|()| last.tune(spec, options))
                    .map_err(|error| explain(spec, &error))?;
                log::line(format_args!("uwsgi socket {index} kept on {}", last.name));
                continue;
            }
            None => bind_one(spec, options, shards, backlog)?,
        };
        listener.key = key;
        listener.tune(spec, options).map_err(|error| explain(spec, &error))?;
        announce(index, spec, &listener);
        made.listeners.push(listener);
    }
    made.kept.clear();
    Ok(std::mem::take(&mut made.listeners))
}

/// The sockets that a service manager opened for us (sd_listen_fds(3)): those at an address of the
/// configuration are found by `bind`, the others become addresses of their own, as in uWSGI.
///
/// # Errors
/// A descriptor that is no socket.
pub fn activated(options: &mut Options, env: &Environment) -> Result<Vec<Listener>, StartError> {
    let number = |name: &str| {
        let (_, value) = env.iter().find(|(key, _)| key == name)?;
        value.to_str()?.parse::<i32>().ok()
    };
    let ours = number("LISTEN_PID").is_some_and(|pid| pid == std::process::id() as i32);
    let count = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0);
    if count > 0 {
        log::line(format_args!("- SystemD socket activation detected -"));
    }
    let mut found = Vec::new();
    for fd in FIRST_ACTIVATED..FIRST_ACTIVATED + count {
        let failed = |error: io::Error| StartError::new(format!("LISTEN_FDS: {fd}: {error}"));
        sys::close_on_exec(fd);
        let (name, port, is_unix, sockets) = inherit(fd, 1, backlog(options)).map_err(failed)?;
        let at_address = |spec: &&SocketSpec| match &spec.address {
            Address::Unix(path) => name == path.display().to_string(),
            address => name == show(address),
        };
        let key = match options.sockets.iter().find(at_address) {
            Some(spec) => show(&spec.address),
            None => {
                let (address, protocol) = (Address::Fd(fd), options.protocol);
                let key = show(&address);
                let option = "socket".to_owned();
                options.sockets.push(SocketSpec { option, address, protocol });
                key
            }
        };
        let (protocol, backlog) = (Protocol::Uwsgi, backlog(options) as u64);
        found.push(Listener { key, name, protocol, backlog, sockets, is_unix, file: None, port });
    }
    Ok(found)
}

const FIRST_ACTIVATED: i32 = 3;

/// What `bind` has so far: dropped early, new sockets are removed and old ones given back.
struct Made<'o> {
    listeners: Vec<Listener>,
    /// Places of those that came from `old`.
    kept: Vec<usize>,
    old: &'o mut Vec<Listener>,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for (place, listener) in self.listeners.drain(..).enumerate() {
            if self.kept.contains(&place) {
                self.old.push(listener);
            } else {
                vacuum(std::slice::from_ref(&listener));
            }
        }
    }
}

/// uWSGI's lines, which scripts look for.
fn announce(index: usize, spec: &SocketSpec, listener: &Listener) {
    let fd = listener.sockets[0].as_raw_fd();
    let name = &listener.name;
    let assigned = matches!(&spec.address, Address::Tcp { port: 0, .. });
    let auto = if assigned { " (port auto-assigned)" } else { "" };
    match (&spec.address, spec.option.as_str()) {
        (Address::Tcp { .. }, "http" | "httprouter") => {
            log::line(format_args!("uWSGI http bound on {name}{auto} fd {fd}"));
        }
        (Address::Tcp { .. }, _) => log::line(format_args!(
            "uwsgi socket {index} bound to TCP address {name}{auto} fd {fd}"
        )),
        (Address::Fd(_), _) => {
            log::line(format_args!("uwsgi socket {index} inherited address {name} fd {fd}"));
        }
        _ => log::line(format_args!("uwsgi socket {index} bound to UNIX address {name} fd {fd}")),
    }
}

/// The accept queue's length: what was asked for, the system's limit by default and at most.
fn backlog(options: &Options) -> i32 {
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
        .unwrap_or(4096);
    let wanted = options.listen.unwrap_or(limit);
    if wanted > limit {
        log::line(format_args!(
            "--listen {wanted} is more than net.core.somaxconn ({limit}): {limit} is used; raise the \
             sysctl for more"
        ));
    }
    i32::try_from(wanted.min(limit)).unwrap_or(i32::MAX)
}

fn bind_one(
    spec: &SocketSpec,
    options: &Options,
    shards: usize,
    backlog: i32,
) -> Result<Listener, StartError> {
    let result = match &spec.address {
        Address::Tcp { host, port } => bind_tcp(host, *port, shards, backlog, options),
        Address::Unix(path) => return bind_unix(spec, path, options, shards, backlog),
        Address::Abstract(name) => bind_abstract(name, shards, backlog),
        Address::Fd(fd) => inherit(*fd, shards, backlog),
    };
    let (name, port, is_unix, sockets) = result.map_err(|error| explain(spec, &error))?;
    let (protocol, backlog, key) = (spec.protocol, backlog as u64, String::new());
    Ok(Listener { key, name, protocol, backlog, sockets, is_unix, file: None, port })
}

fn explain(spec: &SocketSpec, error: &io::Error) -> StartError {
    let shown = show(&spec.address);
    StartError::new(format!("--{} {shown}: {}{}", spec.option, reason(error), cause(error)))
}

fn show(address: &Address) -> String {
    match address {
        Address::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        Address::Tcp { host, port } => format!("{host}:{port}"),
        Address::Unix(path) => path.display().to_string(),
        Address::Abstract(name) => format!("@{name}"),
        Address::Fd(fd) => format!("fd://{fd}"),
    }
}

fn reason(error: &io::Error) -> String {
    // std appends "(os error N)", which says nothing more to an operator.
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn cause(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " - another program listens there; is a server still running?",
        io::ErrorKind::PermissionDenied => " - ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => " - this machine has no such address",
        _ => "",
    }
}

type Sockets = (String, String, bool, Vec<Socket>);

fn bind_tcp(
    host: &str,
    port: u16,
    shards: usize,
    backlog: i32,
    options: &Options,
) -> io::Result<Sockets> {
    let addr = resolve(host, port)?;
    let freebind = options.buffers.freebind;
    let first = sys::tcp_socket(addr, freebind)?;
    // The first one binds without SO_REUSEPORT, so that a port in use is an error and not a silent
    // share of another server's connections; it joins the group before it listens.
    first.bind(&addr.into())?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?.as_socket().unwrap_or(addr);
    let mut sockets = vec![first];
    for _ in 1..shards {
        let socket = sys::tcp_socket(bound, freebind)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        sockets.push(socket);
    }
    for socket in &sockets {
        socket.listen(backlog)?;
    }
    Ok((bound.to_string(), bound.port().to_string(), false, sockets))
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if host.is_empty() || host == "*" {
        return Ok(SocketAddr::from(([0, 0, 0, 0], port))); // uWSGI: ":9090" is all of IPv4.
    }
    if let Some((begin, _)) = host.split_once('*') {
        // uWSGI: what stands behind the star says nothing.
        let own = sys::own_addresses()?.into_iter().find(|ip| ip.to_string().starts_with(begin));
        return own
            .map(|ip| SocketAddr::from((ip, port)))
            .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    }
    (host, port).to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn unix_socket(addr: &SockAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(addr)?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Unix sockets have no groups: all shards accept on the one.
fn share(socket: Socket, shards: usize) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(shards);
    for _ in 1..shards {
        sockets.push(socket.try_clone()?);
    }
    sockets.insert(0, socket);
    Ok(sockets)
}

fn bind_abstract(name: &str, shards: usize, backlog: i32) -> io::Result<Sockets> {
    let path = [b"\0", name.as_bytes()].concat();
    let addr = SockAddr::unix(OsStr::from_bytes(&path))?;
    let sockets = share(unix_socket(&addr, backlog)?, shards)?;
    Ok((format!("@{name}"), String::new(), true, sockets))
}

fn inherit(fd: i32, shards: usize, backlog: i32) -> io::Result<Sockets> {
    let socket = Socket::from(sys::duplicate(fd)?);
    let addr = socket.local_addr()?;
    socket.set_nonblocking(true)?;
    socket.listen(backlog)?;
    let is_unix = addr.is_unix();
    let (name, port) = match (addr.as_socket(), addr.as_pathname()) {
        (Some(addr), _) => (addr.to_string(), addr.port().to_string()),
        (None, Some(path)) => (path.display().to_string(), String::new()),
        (None, None) => (format!("fd://{fd}"), String::new()),
    };
    Ok((name, port, is_unix, share(socket, shards)?))
}

fn bind_unix(
    spec: &SocketSpec,
    path: &Path,
    options: &Options,
    shards: usize,
    backlog: i32,
) -> Result<Listener, StartError> {
    let fail = |what: &str, error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => " - is the directory writable for this user?",
            io::ErrorKind::NotFound => " - does its directory exist?",
            io::ErrorKind::InvalidInput => " - a socket's path has at most 107 bytes",
            _ => "",
        };
        let shown = path.display();
        StartError::new(format!("--{} {shown}: {what}{}{hint}", spec.option, reason(&error)))
    };
    let path = std::path::absolute(path).map_err(|error| fail("", error))?;
    // uWSGI: what lies at the path is removed, but only a socket.
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.file_type().is_socket() => {
            std::fs::remove_file(&path).map_err(|error| fail("", error))?;
        }
        Ok(_) => {
            let shown = path.display();
            let message = format!("--{} {shown}: a file that is no socket is there", spec.option);
            return Err(StartError::new(message));
        }
        Err(_) => {}
    }
    let addr = SockAddr::unix(&path).map_err(|error| fail("", error))?;
    let socket = unix_socket(&addr, backlog).map_err(|error| fail("", error))?;
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(&path).map_or(0, |meta| meta.ino());
    if let Some(mode) = options.chmod_socket {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| fail("chmod-socket: ", error))?;
    }
    if let Some(owner) = &options.chown_socket {
        chown(&path, owner, &options.place("chown-socket"))?;
    } else if options.uid.is_some() || options.gid.is_some() {
        // uWSGI binds unix sockets as the user that it becomes.
        let id = |of: Option<u32>| of.map_or_else(String::new, |id| id.to_string());
        let uid = options.uid.as_deref().and_then(sys::user_id).map(|(uid, _)| uid);
        let gid = options.gid.as_deref().and_then(sys::group_id);
        let _ = std::os::unix::fs::chown(&path, uid, gid).inspect_err(|error| {
            log::line(format_args!(
                "{}: cannot be given to {}:{}: {error}",
                path.display(),
                id(uid),
                id(gid)
            ));
        });
    }
    let name = path.display().to_string();
    let protocol = spec.protocol;
    let sockets = share(socket, shards).map_err(|error| fail("", error))?;
    let file = Some((path, inode));
    Ok(Listener {
        key: String::new(),
        name,
        protocol,
        backlog: backlog as u64,
        sockets,
        is_unix: true,
        file,
        port: String::new(),
    })
}

/// `user`, `user:group` or `:group`; `place` is where that was written.
fn chown(path: &Path, owner: &str, place: &str) -> Result<(), StartError> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let unknown = |what: &str, name: &str| {
        StartError::new(format!("{place}: there is no {what} \"{name}\" on this machine"))
    };
    let uid = match user {
        "" => None,
        user => Some(sys::user_id(user).ok_or_else(|| unknown("user", user))?.0),
    };
    let gid = match group {
        "" => None,
        group => Some(sys::group_id(group).ok_or_else(|| unknown("group", group))?),
    };
    std::os::unix::fs::chown(path, uid, gid).map_err(|error| {
        let shown = path.display();
        StartError::new(format!("{place}: {owner}: {shown}: {} - only root may", reason(&error)))
    })
}

impl Listener {
    /// The sockets of one shard, as descriptors of its own: several when there were more shards
    /// once, since connections may wait in each.
    ///
    /// # Errors
    /// The kernel's (too many files).
    pub fn for_shard(&self, shard: usize, shards: usize) -> io::Result<Vec<OwnedFd>> {
        let own = self.sockets.iter().skip(shard).step_by(shards);
        own.map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Makes sure that each of `shards` shards has a socket.
    fn widen(&mut self, shards: usize, backlog: i32) -> io::Result<()> {
        while self.sockets.len() < shards {
            // One that came from elsewhere may be alone at its address: the shards share it then.
            let has_group = !self.is_unix && self.sockets[0].reuse_port()?;
            let socket = match self.sockets[0].local_addr()?.as_socket() {
                Some(addr) if has_group => {
                    let socket = sys::tcp_socket(addr, false)?;
                    socket.set_reuse_port(true)?;
                    socket.bind(&addr.into())?;
                    socket.listen(backlog)?;
                    socket
                }
                _ => self.sockets[0].try_clone()?,
            };
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// Sets what connections inherit, and when they are accepted.
    fn tune(&self, spec: &SocketSpec, options: &Options) -> io::Result<()> {
        let is_tcp = matches!(spec.address, Address::Tcp { .. });
        let Buffers { send, receive, fast_open, accept_at_once, .. } = options.buffers;
        // uWSGI: the kernel waits so long for a connection's first bytes.
        let timeout_s = u32::try_from(options.socket_timeout).unwrap_or(u32::MAX);
        let defer_s = if accept_at_once { 0 } else { timeout_s };
        let (fast_open, defer_s) = (fast_open.filter(|_| is_tcp), is_tcp.then_some(defer_s));
        self.fds().into_iter().try_for_each(|fd| sys::tune(fd, send, receive, fast_open, defer_s))
    }

    /// What another binary needs to go on with it; the descriptors stay open here.
    pub fn keep(&self) -> Kept {
        Kept {
            key: self.key.clone(),
            name: self.name.clone(),
            backlog: self.backlog,
            fds: self.fds(),
            is_unix: self.is_unix,
            file: self.file.clone(),
            port: self.port.clone(),
        }
    }

    /// The listener that another binary left; its protocol is what `bind` finds it wanted for.
    pub fn from_kept(kept: Kept) -> Listener {
        let sockets = kept.fds.into_iter().map(|fd| Socket::from(sys::adopt(fd))).collect();
        let Kept { key, name, backlog, is_unix, file, port, .. } = kept;
        let protocol = Protocol::Uwsgi;
        Listener { key, name, protocol, backlog, sockets, is_unix, file, port }
    }

    pub fn fds(&self) -> Vec<i32> {
        self.sockets.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// The accept queue's length.
    pub fn backlog(&self) -> u64 {
        self.backlog
    }
}

/// Removes the sockets' files, those that are still ours (uWSGI: `vacuum`).
pub fn vacuum(listeners: &[Listener]) {
    use std::os::unix::fs::MetadataExt;
    for (path, inode) in listeners.iter().filter_map(|listener| listener.file.as_ref()) {
        if std::fs::metadata(path).is_ok_and(|meta| meta.ino() == *inode)
            && std::fs::remove_file(path).is_ok()
        {
            log::line(format_args!("VACUUM: unix socket {} removed.", path.display()));
        }
    }
}
