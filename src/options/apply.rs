//! Walks the settings in order against the table: what was written becomes what is meant.

use std::collections::HashSet;

use super::table::{self, Opt, Status, Takes};
use super::value::{Value, Wrong, suspicion};
use super::{Options, Origin, Setting};
use crate::error::StartError;

/// Fills `options` from its own `settings`. A later scalar wins, lists grow.
pub(super) fn apply(options: &mut Options) -> Result<(), StartError> {
    let settings = std::mem::take(&mut options.settings);
    let mut unknown = Vec::new();
    let shared = shared(&settings);
    for setting in &settings {
        let Some((name, opt)) = table::find(&setting.name) else {
            unknown.push(setting);
            continue;
        };
        let value = Value { text: address(setting, opt, &shared) };
        refuse(setting, opt)?;
        if let Status::Absent(why) = opt.status
            && !is_off(opt, value)
        {
            options.warnings.push(format!("{}: {name} is left out: {why}", setting.origin));
        }
        check(setting, opt, value, &mut options.warnings);
        set(setting, opt, value, options)?;
    }
    options.master |= settings.iter().any(wants_master) || !options.hooks.is_empty();
    unknown_keys(&unknown, &declared(&settings), options)?;
    for cron in &mut options.crons {
        cron.harakiri = cron.harakiri.or(options.cron_harakiri);
    }
    for socket in &mut options.sockets {
        if socket.option == "socket" {
            socket.protocol = options.protocol; // `protocol` may stand below the socket.
        }
    }
    options.settings = settings;
    Ok(())
}

/// The addresses that `shared-socket` names, which `=0`, `=1` .. stand for.
pub(super) fn shared(settings: &[Setting]) -> Vec<&str> {
    let named = settings.iter().filter(|setting| setting.name == "shared-socket");
    named.filter_map(|setting| setting.value.as_deref()).collect()
}

/// The value of a setting; an address in the place of its number.
pub(super) fn address<'a>(setting: &'a Setting, opt: &Opt, shared: &[&'a str]) -> Option<&'a str> {
    let text = setting.value.as_deref()?;
    let is_address = matches!(opt.takes, Takes::Address | Takes::HttpAddress);
    let number = text.strip_prefix('=').filter(|_| is_address);
    let number = number.and_then(|digits| digits.trim().parse::<usize>().ok());
    Some(number.and_then(|number| shared.get(number).copied()).unwrap_or(text))
}

/// Whether the setting does nothing without a master, and so brings one.
fn wants_master(setting: &Setting) -> bool {
    let Some((_, opt)) = table::find(&setting.name) else { return false };
    let value = Value { text: setting.value.as_deref() };
    let is_never = opt.takes == Takes::Seconds && value.text == Some("0");
    opt.with_master && !is_off(opt, value) && !is_never
}

/// An error where the option stops the start.
pub(super) fn refuse(setting: &Setting, opt: &Opt) -> Result<(), StartError> {
    let value = Value { text: setting.value.as_deref() };
    match opt.status {
        Status::Refused(reason) if !is_off(opt, value) => {
            Err(StartError::new(format!("{}: {}: {reason}", setting.origin, setting.name)))
        }
        _ => Ok(()),
    }
}

/// Whether the setting says that the option is not wanted.
pub(super) fn is_off(opt: &Opt, value: Value<'_>) -> bool {
    opt.takes == Takes::Flag && !value.flag()
}

/// Carries one setting out.
pub(super) fn set(
    setting: &Setting,
    opt: &Opt,
    value: Value<'_>,
    options: &mut Options,
) -> Result<(), StartError> {
    let result = match opt.status {
        // Nothing depends on it, so nothing about it can be wrong enough to stop a start.
        Status::Ignored(_) => Ok(()),
        _ => (opt.set)(options, value).and_then(|()| opt.takes.check(value)),
    };
    result.map_err(|wrong| {
        let Setting { name, origin, .. } = setting;
        StartError::new(match wrong {
            Wrong::Expected(what) => {
                let found = value.text.map_or("nothing".to_owned(), |text| format!("\"{text}\""));
                format!("{origin}: {name}: expected {what}, found {found}")
            }
            Wrong::Because(why) => format!("{origin}: {name}: {why}"),
        })
    })
}

fn check(setting: &Setting, opt: &Opt, value: Value<'_>, warnings: &mut Vec<String>) {
    let in_file = matches!(setting.origin, Origin::File { .. });
    if let Some(what) = suspicion(opt.takes, value, in_file) {
        warnings.push(format!("{}: {}: {what}", setting.origin, setting.name));
    }
}

/// Variables that may be slips are looked at so often, each against all options.
const SLIPS_MAX: usize = 200;

/// The names that `set-placeholder` and `declare-option` make.
pub(super) fn declared(settings: &[Setting]) -> HashSet<&str> {
    let makes = |name: &str| name.starts_with("set-p") || name.starts_with("declare-option");
    let made = settings.iter().filter(|setting| makes(&setting.name));
    let pairs = made.filter_map(|setting| setting.value.as_deref()?.split_once('='));
    pairs.map(|(name, _)| name.trim()).collect()
}

/// uWSGI: a key that is no option is a variable of the file's author, an error under `strict`.
fn unknown_keys(
    unknown: &[&Setting],
    declared: &HashSet<&str>,
    options: &mut Options,
) -> Result<(), StartError> {
    for (index, setting) in unknown.iter().enumerate() {
        let Setting { name, origin, .. } = setting;
        if declared.contains(name.as_str()) {
            continue;
        }
        // A file of variables alone is no file of slips.
        let nearest = if index < SLIPS_MAX { table::nearest(name) } else { None };
        if options.strict {
            let hint = match nearest {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("a variable of your own is set-placeholder = {name}=..."),
            };
            return Err(StartError::new(format!(
                "{origin}: unknown option {name}, and strict is on; {hint}"
            )));
        }
        if let Some(nearest) = nearest {
            options.warnings.push(format!(
                "{origin}: {name} is no option and was taken as a variable; \
                 did you mean {nearest}?"
            ));
        }
    }
    Ok(())
}
