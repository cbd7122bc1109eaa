//! Walks the settings in order against the table: what was written becomes what is meant.

use std::collections::HashSet;

use super::addresses::Addresses;
use super::suspicion::suspicion;
use super::table::{self, Opt, Status, Takes};
use super::value::{Value, Wrong};
use super::{Options, Setting};
use super::{hint, logic, whole};
use crate::error::StartError;

/// Fills `options` from its own `settings`. A later scalar wins, lists grow. `asked` are names of
/// variables.
pub(super) fn apply(options: &mut Options, asked: &HashSet<String>) -> Result<(), StartError> {
    let settings = std::mem::take(&mut options.settings);
    let mut unknown = Vec::new();
    let mut addresses = Addresses::new(&settings);
    for setting in &settings {
        let Some((name, opt)) = table::find(&setting.name) else {
            unknown.push(setting);
            continue;
        };
        let value = Value { text: addresses.value(setting, opt) };
        refuse(setting, opt)?;
        if let Status::Absent(why) = opt.status
            && !is_off(opt, value)
        {
            options.warnings.push(format!("{}: {name} is left out: {why}", setting.origin));
        }
        let note = set(setting, opt, value, options)?;
        let note = note.or_else(|| addresses.keep_first(setting, options));
        if let Some(note) = note.or_else(|| suspicion(opt, value, setting)) {
            options.warnings.push(format!("{}: {}: {note}", setting.origin, setting.name));
        }
    }
    let found = options.pythonpath.iter().flat_map(|path| match path.contains(['*', '?', '[']) {
        true => logic::glob(path).unwrap_or_else(|_| vec![path.clone()]),
        false => vec![path.clone()],
    });
    options.pythonpath = found.collect();
    options.master |= settings.iter().any(wants_master) || !options.hooks.is_empty();
    unknown.retain(|setting| options.strict || !asked.contains(&setting.name));
    unknown_keys(&unknown, &declared(&settings), options)?;
    whole::refuse(options, &settings)?;
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

/// Whether the setting says that the option is not wanted. What is not to be had can be declined
/// whatever its kind: `gevent = 0`, `emperor-tyrant = false`.
pub(super) fn is_off(opt: &Opt, value: Value<'_>) -> bool {
    let can_be_declined = matches!(opt.status, Status::Refused(_) | Status::Absent(_));
    is_empty(opt, value) || (opt.takes == Takes::Flag || can_be_declined) && !value.flag()
}

/// Options that say as whom, where or to whom to serve: without their value something else would
/// be served than was meant, to others.
const MUST_HAVE_VALUE: [&str; 22] = [
    "uid",
    "gid",
    "immediate-uid",
    "immediate-gid",
    "add-gid",
    "chown-socket",
    "chdir",
    "chdir2",
    "pidfile",
    "pidfile2",
    "safe-pidfile",
    "safe-pidfile2",
    "daemonize",
    "daemonize2",
    "logto",
    "logto2",
    "logger",
    "req-logger",
    "mount",
    "static-map",
    "static-map2",
    "cron",
];

/// Whether nothing stands where a value belongs, as a variable that is empty leaves it; the setting
/// is as if it were not there. uWSGI: nothing is 0, or an empty text that mostly does nothing; a
/// bare key is an empty text, or the number 1.
fn is_empty(opt: &Opt, value: Value<'_>) -> bool {
    let is_address = matches!(opt.takes, Takes::Address | Takes::HttpAddress);
    let needs_one = !opt.takes.may_be_bare() && opt.takes != Takes::AnyText && !is_address;
    let is_text = matches!(opt.takes, Takes::Path | Takes::Pair | Takes::Word | Takes::Text);
    let is_nothing = value.text == Some("") || is_text && value.text.is_none();
    is_nothing && needs_one && !MUST_HAVE_VALUE.contains(&opt.names[0])
}

/// Carries one setting out; says what became of one that is left out.
pub(super) fn set(
    setting: &Setting,
    opt: &Opt,
    value: Value<'_>,
    options: &mut Options,
) -> Result<Option<String>, StartError> {
    if is_empty(opt, value) {
        let place = if value.text.is_some() { "the =" } else { "it" };
        return Ok(Some(format!("nothing stands behind {place}: it is as if it were not there")));
    }
    let result = match opt.status {
        // Nothing depends on it, so nothing about it can be wrong enough to stop a start.
        Status::Ignored(_) => Ok(()),
        _ => (opt.set)(options, value).and_then(|()| opt.takes.check(value)),
    };
    let Err(wrong) = result else { return Ok(None) };
    let Setting { name, origin, .. } = setting;
    let found = || value.text.map_or("nothing".to_owned(), |text| format!("\"{text}\""));
    Err(StartError::new(match wrong {
        Wrong::Harmless(what) => return Ok(Some(what)),
        Wrong::Expected(what) => format!("{origin}: {name}: expected {what}, found {}", found()),
        Wrong::Because(why) => format!("{origin}: {name}: {why}"),
    }))
}

/// Variables that may be slips are looked at so often, each against all options.
pub(super) const SLIPS_MAX: usize = 200;

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
        let question = match index < SLIPS_MAX {
            true => hint::question(name, setting.value.as_deref()),
            false => None,
        };
        if options.strict {
            let hint = question.unwrap_or_else(|| {
                format!("a variable of your own is set-placeholder = {name}=...")
            });
            return Err(StartError::new(format!(
                "{origin}: unknown option {name}, and strict is on; {hint}"
            )));
        }
        if let Some(question) = question {
            options.warnings.push(format!(
                "{origin}: {name} is no option and was taken as a variable; {question}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Options, parse};

    #[test]
    fn an_empty_value_is_as_if_it_were_not_there() {
        let names = [
            "max-requests",
            "harakiri",
            "http-timeout",
            "pythonpath",
            "touch-reload",
            "module",
            "callable",
            "static-index",
            "attach-daemon",
            "procname-prefix",
            "env",
            "unenv",
            "threads",
            "processes",
            "stats-push",
        ];
        for name in names {
            let options = parse(&[&format!("--{name}"), ""]).expect(name);
            let message = "nothing stands behind the =: it is as if it were not there";
            assert_eq!(options.warnings, [format!("argument 1: {name}: {message}")]);
            let plain = Options::default();
            assert_eq!(
                (options.max_requests, options.harakiri, options.http_timeout, options.threads),
                (plain.max_requests, plain.harakiri, plain.http_timeout, plain.threads)
            );
        }
        // As whom, where and to whom is never left open.
        for name in ["uid", "gid", "chdir", "logto", "pidfile", "http-socket", "chmod-socket"] {
            assert!(parse(&[&format!("--{name}="), "--vacuum"]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_bare_key_is_an_empty_text_or_the_number_1() {
        let read = |text: &str| {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("app.ini");
            std::fs::write(&path, format!("[uwsgi]\n{text}\n")).expect("written");
            parse(&["--ini", &path.display().to_string()])
        };
        for name in ["env", "pyargv", "module", "callable", "procname", "touch-exec", "pythonpath"]
        {
            let options = read(name).expect(name);
            let [warning] = &options.warnings[..] else { panic!("{:?}", options.warnings) };
            let message =
                format!("{name}: nothing stands behind it: it is as if it were not there");
            assert!(warning.ends_with(&message), "{warning}");
        }
        assert_eq!(read("max-requests").expect("a number").max_requests, Some(1));
        for name in ["chdir", "uid", "logto", "mount", "cron", "socket"] {
            assert!(read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_sets_nothing_in_uwsgi_is_left_out() {
        for (name, value) in
            [("env", "FOO"), ("env", "=x"), ("unenv", "A=B"), ("threads", "0"), ("umask", "9")]
        {
            let options = parse(&[&format!("--{name}"), value]).expect(name);
            assert_eq!(options.warnings.len(), 1, "{name}: {:?}", options.warnings);
            assert!(options.env.is_empty() && options.unenv.is_empty());
            assert_eq!((options.threads, options.umask), (1, None));
        }
    }

    #[test]
    fn what_is_not_to_be_had_may_be_declined() {
        for name in ["emperor-tyrant", "gevent-monkey-patch", "greenlet", "zerg-fallback", "gevent"]
        {
            for word in ["false", "off", "0"] {
                let options = parse(&[&format!("--{name}={word}")]).expect(name);
                assert!(options.warnings.is_empty(), "{name}: {:?}", options.warnings);
            }
        }
        assert!(parse(&["--emperor=/etc/uwsgi"]).is_err());
    }

    #[test]
    fn each_match_of_a_pattern_is_a_place_of_modules() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["b", "a"] {
            std::fs::create_dir(directory.path().join(name)).expect("made");
        }
        let shown = directory.path().display();
        let args = [format!("--pp={shown}/*"), "--pp=/nowhere/*".to_owned(), "--pp=x".to_owned()];
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let expected =
            [format!("{shown}/a"), format!("{shown}/b"), "/nowhere/*".into(), "x".into()];
        assert_eq!(parse(&args).expect("it is right").pythonpath, expected);
    }
}
