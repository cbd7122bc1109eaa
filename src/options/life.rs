//! What runs beside the server and at moments of its life: hooks, attached daemons, cron.

use std::path::PathBuf;

use super::signal;
use super::value::Wrong;

/// A moment of the server's life, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Asap,
    PreJail,
    InJail,
    AsRoot,
    AsUser,
    MasterStart,
    PreApp,
    /// In each server process, before the app is loaded.
    PostFork,
    /// The app is loaded and served.
    PostApp,
    Accepting,
    /// A file was touched.
    Touched,
    AtExit,
}

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A shell command; whether its failure counts.
    Exec(String, Failure),
    /// A signal of the app's, which its workers raise.
    Signal(u8),
    Print(String),
    /// `path text`: the text becomes the file's content.
    Write(PathBuf, String),
    /// The same, into a pipe that somebody reads.
    WriteFifo(PathBuf, String),
    Chdir(PathBuf),
    Umask(u32),
    Unlink(PathBuf),
    Mkdir(PathBuf),
    Touch(PathBuf),
    Rename(PathBuf, PathBuf),
    Symlink(PathBuf, PathBuf),
    Chmod(PathBuf, u32),
    /// The master acts so at this signal.
    UnixSignal(i32, Act),
}

/// What the failure of a command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Ends,
    Passes,
}

/// What uWSGI's C functions of `unix_signal` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Stop,
    Reload,
    Status,
}

/// What becomes of root's rights, beside `uid` and `gid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Further groups.
    pub add_gids: Vec<String>,
    /// Keep the groups of whoever started it.
    pub no_initgroups: bool,
    /// The master keeps them; server processes, and all that they start, do not.
    pub master_as_root: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub moment: Moment,
    pub deed: Deed,
}

/// A command that runs as long as the server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    pub command: String,
    /// With it the daemon outlives reloads and stops, and one that runs is not started again.
    pub pidfile: Option<PathBuf>,
    /// It goes to the background and writes the pidfile by itself.
    pub forks: bool,
    /// Its end is the server's.
    pub control: bool,
    pub stop_signal: i32,
    /// 0: the same as `stop_signal`.
    pub reload_signal: i32,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub chdir: Option<PathBuf>,
    /// Restarted when one of these files changes.
    pub touch: Vec<PathBuf>,
}

/// A command that runs at times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Minute, hour, day, month (from 1), weekday (0 or 7 is Sunday); -1 is every, -N every N.
    pub when: [i32; 5],
    pub command: String,
    /// Not while the last one runs.
    pub unique: bool,
    /// Killed after so many seconds.
    pub harakiri: Option<u64>,
}

/// `file what-to-do`.
pub(super) fn touch(text: &str) -> Result<(PathBuf, &str), Wrong> {
    let words = text.trim().split_once(' ');
    let nothing = || Wrong::Harmless("nothing to do stands behind the file".to_owned());
    let (path, rest) = words.ok_or_else(nothing)?;
    Ok((path.into(), rest.trim()))
}

/// `handler:argument`.
pub(super) fn deed(text: &str) -> Result<Deed, Wrong> {
    const EXPECTATION: &str = "handler:argument, like exec:touch /tmp/ready";
    let (name, argument) = text.trim().split_once(':').ok_or(Wrong::Expected(EXPECTATION))?;
    let argument = argument.trim();
    let path = || PathBuf::from(argument);
    let two = || {
        let (first, second) = argument.split_once(' ').ok_or(Wrong::Expected("two words"))?;
        Ok::<_, Wrong>((PathBuf::from(first), second.trim()))
    };
    let octal = |text: &str| {
        u32::from_str_radix(text, 8).map_err(|_| Wrong::Expected("octal digits, like 022"))
    };
    Ok(match name {
        "exec" => Deed::Exec(argument.to_owned(), Failure::Ends),
        "safeexec" => Deed::Exec(argument.to_owned(), Failure::Passes),
        "print" => Deed::Print(argument.to_owned()),
        "write" => two().map(|(path, text)| Deed::Write(path, text.to_owned()))?,
        "writefifo" => two().map(|(path, text)| Deed::WriteFifo(path, text.to_owned()))?,
        "chdir" | "cd" => Deed::Chdir(path()),
        "umask" => Deed::Umask(octal(argument)?),
        "unlink" => Deed::Unlink(path()),
        "mkdir" => Deed::Mkdir(path()),
        "touch" | "create" | "creat" => Deed::Touch(path()),
        "rename" => two().map(|(from, to)| Deed::Rename(from, to.into()))?,
        "symlink" => two().map(|(from, to)| Deed::Symlink(from, to.into()))?,
        "chmod" => {
            let (path, mode) = two()?;
            Deed::Chmod(path, octal(mode)?)
        }
        "unix_signal" => unix_signal(argument)?,
        _ => {
            return Err(Wrong::Because(format!(
                "the handler {name} is not known; these are: exec, safeexec, print, write, \
                 writefifo, chdir, umask, unlink, mkdir, touch, rename, symlink, chmod, unix_signal"
            )));
        }
    })
}

/// `15 gracefully_kill_them_all`; a word behind it is a remark.
fn unix_signal(argument: &str) -> Result<Deed, Wrong> {
    let mut words = argument.split_ascii_whitespace();
    let number = words.next().and_then(|number| number.parse().ok());
    let number = number.filter(|number| (1..65).contains(number));
    let number = number.ok_or(Wrong::Expected("a signal's number and a function"))?;
    let act = match words.next() {
        None | Some("gracefully_kill_them_all" | "kill_them_all") => Act::Stop,
        Some("grace_them_all" | "reap_them_all") => Act::Reload,
        Some("stats") => Act::Status,
        Some(other) => {
            return Err(Wrong::Because(format!(
                "the function {other} is not known; these are: gracefully_kill_them_all, \
                 kill_them_all, grace_them_all, reap_them_all, stats"
            )));
        }
    };
    Ok(Deed::UnixSignal(number, act))
}

impl Daemon {
    pub(super) fn new(command: &str) -> Daemon {
        Daemon {
            command: command.trim().to_owned(),
            pidfile: None,
            forks: false,
            control: false,
            stop_signal: signal::TERM,
            reload_signal: 0,
            uid: None,
            gid: None,
            chdir: None,
            touch: Vec::new(),
        }
    }

    /// `pidfile command`.
    pub(super) fn smart(text: &str, forks: bool) -> Result<Daemon, Wrong> {
        let words = text.trim().split_once(' ');
        let (pidfile, command) = words.ok_or(Wrong::Expected("a pidfile and a command"))?;
        Ok(Daemon { pidfile: Some(pidfile.into()), forks, ..Daemon::new(command) })
    }

    /// `cmd=..,pidfile=..,stopsignal=..`.
    pub(super) fn keyed(text: &str) -> Result<Daemon, Wrong> {
        let mut daemon = Daemon::new("");
        let mut daemonizes = false;
        for (key, value) in keys(text) {
            let number =
                || value.parse::<i32>().map_err(|_| Wrong::Because(format!("{key} is a number")));
            match key {
                "cmd" | "command" | "exec" => value.clone_into(&mut daemon.command),
                "pidfile" => daemon.pidfile = Some(value.into()),
                "control" => daemon.control = value != "0",
                "daemonize" | "daemon" => daemonizes = value != "0",
                "stopsignal" | "stop_signal" => daemon.stop_signal = number()?,
                "reloadsignal" | "reload_signal" => daemon.reload_signal = number()?,
                "uid" => daemon.uid = Some(value.to_owned()),
                "gid" => daemon.gid = Some(value.to_owned()),
                "chdir" => daemon.chdir = Some(value.into()),
                "touch" => daemon.touch = value.split(';').map(PathBuf::from).collect(),
                // How often it may fail: the wait between two tries grows instead.
                "freq" | "max_throttle" => {}
                _ => return Err(Wrong::Because(format!("the key {key} is not known"))),
            }
        }
        if daemon.command.is_empty() {
            return Err(Wrong::Expected("cmd=COMMAND and other keys"));
        }
        // uWSGI: `daemonize` asks it to send the command to the background.
        daemon.forks = daemon.pidfile.is_some() && !daemonizes;
        Ok(daemon)
    }
}

/// `key=value,key=value`; a comma after a backslash belongs to the value.
fn keys(text: &str) -> Vec<(&str, &str)> {
    text.split(',').filter_map(|pair| pair.trim().split_once('=')).collect()
}

impl Cron {
    /// `minute hour day month weekday command`.
    pub(super) fn five(text: &str, unique: bool) -> Result<Cron, Wrong> {
        const EXPECTATION: &str =
            "minute hour day month weekday command, like -1 2 -1 -1 -1 backup";
        let mut rest = text.trim();
        let mut when = [-1; 5];
        for place in &mut when {
            let (word, after) = rest.split_once([' ', '\t']).ok_or(Wrong::Expected(EXPECTATION))?;
            *place = word.parse().map_err(|_| Wrong::Expected(EXPECTATION))?;
            rest = after.trim_start();
        }
        Ok(Cron { when, command: rest.to_owned(), unique, harakiri: None })
    }

    /// `minute=-5,unique=1 command`.
    pub(super) fn keyed(text: &str) -> Result<Cron, Wrong> {
        // uWSGI: a word alone is a command of every minute.
        let (options, command) = match text.trim().split_once(' ') {
            Some(words) => words,
            None if !text.contains('=') => ("", text),
            None => return Err(Wrong::Expected("key=value,.. and a command")),
        };
        let mut cron =
            Cron { when: [-1; 5], command: command.trim().into(), unique: false, harakiri: None };
        for (key, value) in keys(options) {
            let number: i32 =
                value.parse().map_err(|_| Wrong::Because(format!("{key} is a number")))?;
            match key {
                "minute" => cron.when[0] = number,
                "hour" => cron.when[1] = number,
                "day" => cron.when[2] = number,
                "month" => cron.when[3] = number,
                "week" | "weekday" => cron.when[4] = number,
                "unique" => cron.unique = number != 0,
                "harakiri" => cron.harakiri = u64::try_from(number).ok().filter(|&s| s > 0),
                _ => return Err(Wrong::Because(format!("the key {key} is not known"))),
            }
        }
        Ok(cron)
    }

    /// Whether it runs in the minute `[minute, hour, day, month, weekday]`. uWSGI: with day and
    /// weekday both given, one of them is enough.
    pub fn fits(&self, now: [i32; 5]) -> bool {
        let one = |place: usize| {
            let (mut want, have) = (self.when[place], now[place]);
            if place == 4 && want == 7 {
                want = 0;
            }
            match want {
                0.. => want == have,
                -1 => true,
                every => have % -every == 0,
            }
        };
        let both_given = self.when[2] >= 0 && self.when[4] >= 0;
        let days = if both_given { one(2) || one(4) } else { one(2) && one(4) };
        one(0) && one(1) && one(3) && days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str) -> Cron {
        Cron::five(text, false).unwrap()
    }

    #[test]
    fn cron_runs_at_its_minutes() {
        // 2026-11-23 is a Monday.
        let at = |hour, minute| [minute, hour, 23, 11, 1];
        assert!(cron("-1 -1 -1 -1 -1 a").fits(at(3, 7)));
        assert!(cron("-15 -1 -1 -1 -1 a").fits(at(3, 45)));
        assert!(!cron("-15 -1 -1 -1 -1 a").fits(at(3, 46)));
        assert!(cron("0 2 -1 11 1 a b").fits(at(2, 0)));
        assert!(!cron("0 2 -1 12 1 a b").fits(at(2, 0)));
        assert!(cron("0 2 5 -1 1 a").fits(at(2, 0)), "the weekday is enough");
        assert!(!cron("0 2 5 -1 2 a").fits(at(2, 0)));
        assert!(cron("0 2 -1 -1 7 a").fits([0, 2, 22, 11, 0]), "7 is Sunday");
        assert_eq!(cron("0 2 -1 11 1  a b ").command, "a b");
        assert!(Cron::five("0 2 -1 a", false).is_err());
    }

    #[test]
    fn reads_keys() {
        assert_eq!(Cron::keyed("cmd").map(|cron| cron.when), Ok([-1; 5]));
        assert!(Cron::keyed("minute=5").is_err());
        let cron = Cron::keyed("minute=-5,week=3,unique=1,harakiri=9 cmd --a=b,c").unwrap();
        assert_eq!((cron.when, cron.unique), ([-5, -1, -1, -1, 3], true));
        assert_eq!((cron.harakiri, cron.command.as_str()), (Some(9), "cmd --a=b,c"));
        let daemon = Daemon::keyed("cmd=redis x,stopsignal=2,pidfile=/p,daemonize=1").unwrap();
        assert_eq!((daemon.stop_signal, daemon.forks), (2, false));
        assert!(Daemon::keyed("pidfile=/p").is_err());
        assert!(Daemon::keyed("cmd=a,no=1").is_err());
        assert_eq!(
            deed("unix_signal:15 gracefully_kill_them_all ; remark"),
            Ok(Deed::UnixSignal(15, Act::Stop))
        );
        assert!(deed("call:some_symbol").is_err());
        assert_eq!(deed("write:/a b c"), Ok(Deed::Write("/a".into(), "b c".into())));
    }
}
