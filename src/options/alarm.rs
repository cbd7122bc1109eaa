//! Alarms: what is done when a line of the log fits a pattern, or a process crashes.

use super::value::{Address, Wrong};
use super::{Pattern, logging};

/// All of them, and what raises them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarms {
    pub alarms: Vec<Alarm>,
    /// Names of alarms, and the pattern of the lines that raise them.
    pub lines: Vec<(Vec<String>, String)>,
    /// The same of lines that do not raise them all the same.
    pub except: Vec<(Vec<String>, String)>,
    /// Names of alarms that a crash raises.
    pub segfault: Vec<String>,
    /// An alarm is raised once in so many seconds by the same text.
    pub freq_s: u64,
    /// Bytes of a text; what is longer is cut.
    pub text_bytes_max: usize,
}

/// `name kind:argument`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub name: String,
    pub deed: AlarmDeed,
}

/// What an alarm does with the text that raised it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmDeed {
    /// Hands it to a command on its standard input.
    Command(String),
    /// Sends it as a datagram.
    Datagram(Address),
    /// Logs it behind this text.
    Line(String),
}

/// What an alarm can do, by its name.
pub(super) const KINDS: [&str; 3] = ["cmd", "udp", "log"];

impl Default for Alarms {
    fn default() -> Alarms {
        Alarms {
            alarms: Vec::new(),
            lines: Vec::new(),
            except: Vec::new(),
            segfault: Vec::new(),
            freq_s: 3,
            text_bytes_max: 8192,
        }
    }
}

impl Alarms {
    /// Whether any can be raised.
    pub fn is_any(&self) -> bool {
        // `uwsgi.alarm()` may raise those that no rule names.
        !self.alarms.is_empty() || !self.lines.is_empty() || !self.segfault.is_empty()
    }
}

impl Alarm {
    pub(super) fn new(text: &str) -> Result<Alarm, Wrong> {
        const FORM: Wrong = Wrong::Expected("name kind:argument");
        let (name, rest) = text.trim().split_once(' ').ok_or(FORM)?;
        let (kind, argument) = rest.trim().split_once(':').ok_or(FORM)?;
        let deed = match (kind.trim(), argument.trim()) {
            ("cmd", "") => return Err(Wrong::Expected("cmd:COMMAND")),
            ("cmd", command) => AlarmDeed::Command(command.to_owned()),
            ("udp", "") => return Err(Wrong::Expected("udp:HOST:PORT")),
            ("udp", address) => AlarmDeed::Datagram(logging::address(address)?),
            ("log", text) => AlarmDeed::Line(text.to_owned()),
            ("signal" | "mule" | "rpc" | "curl" | "xmpp" | "speech", _) => {
                return Err(Wrong::Because(format!(
                    "the alarm {} is not supported; cmd:COMMAND can do it (cmd:curl ...)",
                    kind.trim()
                )));
            }
            (kind, _) => {
                return Err(Wrong::Because(format!(
                    "the alarm {kind} is not known; these are: {}",
                    KINDS.join(", ")
                )));
            }
        };
        Ok(Alarm { name: name.to_owned(), deed })
    }
}

/// `name[,name..] pattern`.
pub(super) fn rule(text: &str) -> Result<(Vec<String>, String), Wrong> {
    let (names, pattern) =
        text.trim().split_once(' ').ok_or(Wrong::Expected("an alarm's name and a pattern"))?;
    Pattern::new(pattern.trim()).map_err(Wrong::Because)?;
    Ok((names.split(',').map(str::to_owned).collect(), pattern.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_name_kind_and_argument() {
        let deed = |text: &str| Alarm::new(text).map(|alarm| alarm.deed);
        assert_eq!(deed("a cmd:mail -s 'x: y'"), Ok(AlarmDeed::Command("mail -s 'x: y'".into())));
        assert_eq!(deed("a log:"), Ok(AlarmDeed::Line(String::new())));
        let address = Address::Tcp { host: "10.0.0.1".into(), port: 99 };
        assert_eq!(deed("a udp:10.0.0.1:99"), Ok(AlarmDeed::Datagram(address)));
        for text in ["a", "a cmd", "a cmd:", "a nosuch:x", "a signal:17"] {
            assert!(Alarm::new(text).is_err(), "{text}");
        }
        let names = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(rule("one,two a b"), Ok((names, "a b".to_owned())));
    }
}
