//! What is wrong with settings beside each other, and, for `--check-config`, on this machine.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::logging::Route;
use super::table::{self, Opt};
use super::value::Value;
use super::{Address, Options, Setting, alarm, logging};
use crate::error::StartError;

/// What a configuration is checked against: who is known to the system.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub has_user: fn(&str) -> bool,
    pub has_group: fn(&str) -> bool,
}

/// Why a setting, by its place, stops the start.
type Fault = (usize, String);

/// Options whose last setting counts; the directory they are in is that of the start.
const EARLY: [&str; 4] = ["logto", "logto2", "daemonize", "pidfile"];
/// The same, within `chdir`.
const LATE: [&str; 4] = ["daemonize2", "safe-pidfile", "pidfile2", "safe-pidfile2"];

/// The first of the faults, as the start says it.
pub(super) fn refuse(options: &Options, settings: &[Setting]) -> Result<(), StartError> {
    let Some((place, why)) = faults(options, settings).into_iter().next() else { return Ok(()) };
    let Setting { name, origin, .. } = &settings[place];
    Err(StartError::new(format!("{origin}: {name}: {why}")))
}

/// What cannot be meant, whatever the machine.
pub(super) fn faults(options: &Options, settings: &[Setting]) -> Vec<Fault> {
    let mut faults = forbidden(settings);
    // uWSGI: this is an error, and nothing is served.
    if let Some(minimum) = options.cheaper.filter(|&minimum| minimum >= options.processes)
        && minimum > 0
        && let Some(place) = last(settings, "cheaper")
    {
        let all = options.processes;
        let why = format!("{minimum} must be lower than processes, which is {all}");
        faults.push((place, format!("invalid cheaper value: {why}")));
    }
    let has_vhost = last(settings, "vhost").filter(|&place| is_on(&settings[place]));
    let names_host = |(mount, _): &(String, String)| !mount.starts_with('/');
    if let Some(place) = has_vhost.filter(|_| options.mount.iter().any(names_host)) {
        faults.push((place, "apps are not chosen by host here: let nginx do it".to_owned()));
    }
    for (place, setting) in settings.iter().enumerate() {
        let Some((_, opt)) = table::find(&setting.name) else { continue };
        faults.extend(unknown(options, setting, opt).map(|why| (place, why)));
    }
    faults
}

/// Options that a list does not allow. uWSGI: of several lists the last one of its kind counts, and
/// names are compared as they are written.
fn forbidden(settings: &[Setting]) -> Vec<Fault> {
    let list = |setting| Some((setting, names(setting)));
    let (mut black, mut white) = (None, None);
    let mut faults = Vec::new();
    for (place, setting) in settings.iter().enumerate() {
        let has = |list: &Option<(&Setting, HashSet<&str>)>, is_in: bool| {
            let by = list.as_ref().filter(|(_, names)| names.contains(&*setting.name) == is_in);
            by.map(|(by, _)| format!("it is forbidden by the {} of {}", by.name, by.origin))
        };
        faults.extend(has(&black, true).or(has(&white, false)).map(|why| (place, why)));
        match setting.name.as_str() {
            "blacklist" => black = list(setting),
            "whitelist" => white = list(setting),
            "end-blacklist" => black = None,
            "end-whitelist" => white = None,
            _ => {}
        }
    }
    faults
}

/// The words of a value.
fn names(setting: &Setting) -> HashSet<&str> {
    setting.value.as_deref().unwrap_or("").split(' ').collect()
}

/// The alarm or logger that a setting names and that nothing defines.
fn unknown(options: &Options, setting: &Setting, opt: &Opt) -> Option<String> {
    let text = setting.value.as_deref().unwrap_or("");
    let has_alarm = |name: &String| options.logs.alarms.alarms.iter().any(|a| a.name == *name);
    let (kind, name) = match opt.names[0] {
        "log-alarm" | "not-log-alarm" => {
            let (names, _) = alarm::rule(text).ok()?;
            ("alarm", names.into_iter().find(|name| !has_alarm(name))?)
        }
        "alarm-segfault" => ("alarm", Some(text.to_owned()).filter(|name| !has_alarm(name))?),
        "log-route" | "log-req-route" => {
            let loggers = match opt.names[0] {
                "log-route" => &options.logs.loggers,
                _ => &options.logs.request_loggers,
            };
            let name = Route::new(text).ok()?.logger;
            let has_logger = loggers.iter().any(|logger| logger.name.as_ref() == Some(&name));
            ("logger", Some(name).filter(|_| !has_logger)?)
        }
        _ => return None,
    };
    Some(format!("there is no {kind} \"{name}\""))
}

/// The place of the last setting of an option.
fn last(settings: &[Setting], name: &str) -> Option<usize> {
    let (_, opt) = table::find(name)?;
    settings.iter().rposition(|setting| opt.names.contains(&setting.name.as_str()))
}

fn is_on(setting: &Setting) -> bool {
    Value { text: setting.value.as_deref() }.flag()
}

/// What the start would not find here. It looks, and opens nothing.
pub(super) fn missing(options: &Options, settings: &[Setting], machine: Machine) -> Vec<Fault> {
    let mut faults = owners(options, settings, machine);
    // What is not there now, a hook may make.
    if options.hooks.is_empty() {
        faults.extend(places(options, settings));
    }
    faults
}

fn owners(options: &Options, settings: &[Setting], machine: Machine) -> Vec<Fault> {
    let mut faults = Vec::new();
    let owner = options.chown_socket.as_deref().unwrap_or("");
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let uid = options.uid.as_deref().unwrap_or("");
    let gid = options.gid.as_deref().unwrap_or("");
    for (name, user, group) in [("uid", uid, ""), ("gid", "", gid), ("chown-socket", user, group)] {
        let Some(place) = last(settings, name) else { continue };
        if !user.is_empty() && !(machine.has_user)(user) {
            faults.push((place, format!("there is no user \"{user}\" on this machine")));
        }
        if !group.is_empty() && !(machine.has_group)(group) {
            faults.push((place, format!("there is no group \"{group}\" on this machine")));
        }
    }
    faults
}

fn places(options: &Options, settings: &[Setting]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let within = options.chdir.clone().unwrap_or_default();
    let mut look = |place: Option<usize>, fault: Option<String>| {
        faults.extend(place.zip(fault));
    };
    let directory = |path: &Path| match path.is_dir() {
        true => None,
        false => Some(format!("there is no directory {}", path.display())),
    };
    if options.chdir.is_some() {
        look(last(settings, "chdir"), directory(&within));
    }
    for (place, setting) in settings.iter().enumerate() {
        let Some((_, opt)) = table::find(&setting.name) else { continue };
        let text = setting.value.as_deref().unwrap_or("");
        let is_last = last(settings, opt.names[0]) == Some(place);
        let is_file = !text.is_empty() && !logging::is_udp(text);
        let fault = match opt.names[0] {
            "envdir" => directory(Path::new(text)),
            name if EARLY.contains(&name) && is_last && is_file => file(Path::new(text)),
            name if LATE.contains(&name) && is_last && is_file => file(&within.join(text)),
            "master-fifo" if is_file => file(&within.join(text)),
            _ => None,
        };
        look(Some(place), fault);
    }
    if let Some(Address::Unix(path)) = &options.stats {
        look(last(settings, "stats"), file(&within.join(path)));
    }
    for socket in &options.sockets {
        if let Address::Unix(path) = &socket.address {
            look(last(settings, &socket.option), file(&within.join(path)));
        }
    }
    faults
}

/// Why no file can be made there.
fn file(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some(format!("{} is a directory", path.display()));
    }
    let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent };
    (!parent.is_dir()).then(|| format!("there is no directory {}", parent.display()))
}
