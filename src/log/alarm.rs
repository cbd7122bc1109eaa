//! uWSGI's alarms: a line that fits a pattern, or a crash, has a command run, a datagram sent or
//! another line written. Nobody waits for any of them.

use std::io::Write;
use std::process::Child;
use std::time::{Duration, Instant};

use super::packets::{Form, Packets};
use super::program;
use crate::options::{AlarmDeed, Alarms, Pattern};

/// Commands of one alarm that run at the same time; more are not started.
const RUNNING_MAX: usize = 8;
/// What our own lines about alarms begin with: they raise none.
const OWN: &[u8] = b"[uwsgi-alarm";

/// All alarms of the configuration.
pub(super) struct Bells {
    bells: Vec<Bell>,
    lines: Vec<(Vec<usize>, Pattern)>,
    except: Vec<(Vec<usize>, Pattern)>,
    segfault: Vec<usize>,
    freq: Duration,
    text_bytes_max: usize,
    /// Lines that alarms want written.
    said: Vec<Vec<u8>>,
}

struct Bell {
    name: String,
    deed: Deed,
    /// When it was raised last, and by what.
    last: Option<(Instant, Vec<u8>)>,
    running: Vec<Child>,
    /// How often it was not raised since too many commands ran.
    missed: u64,
}

enum Deed {
    Command(String),
    Datagram(Box<Packets>),
    Line(String),
}

impl Bells {
    /// # Errors
    /// A name that no alarm has, or a pattern that is none.
    pub(super) fn new(alarms: &Alarms) -> Result<Bells, String> {
        let bells = alarms.alarms.iter().map(|alarm| Bell {
            name: alarm.name.clone(),
            deed: match &alarm.deed {
                AlarmDeed::Command(command) => Deed::Command(command.clone()),
                AlarmDeed::Line(text) => Deed::Line(text.clone()),
                AlarmDeed::Datagram(address) => {
                    Deed::Datagram(Box::new(Packets::new(address.clone(), Form::Plain)))
                }
            },
            last: None,
            running: Vec::new(),
            missed: 0,
        });
        let bells: Vec<Bell> = bells.collect();
        let find = |option: &str, name: &String| {
            let at = bells.iter().position(|bell| bell.name == *name);
            at.ok_or_else(|| format!("{option}: there is no alarm \"{name}\""))
        };
        let rules = |option: &str, rules: &[(Vec<String>, String)]| {
            let mut all = Vec::new();
            for (names, pattern) in rules {
                let meant: Result<Vec<_>, _> =
                    names.iter().map(|name| find(option, name)).collect();
                let pattern =
                    Pattern::new(pattern).map_err(|error| format!("{option}: {error}"))?;
                all.push((meant?, pattern));
            }
            Ok::<_, String>(all)
        };
        let segfault: Result<Vec<_>, _> =
            alarms.segfault.iter().map(|name| find("alarm-segfault", name)).collect();
        Ok(Bells {
            lines: rules("log-alarm", &alarms.lines)?,
            except: rules("not-log-alarm", &alarms.except)?,
            segfault: segfault?,
            bells,
            freq: Duration::from_secs(alarms.freq_s),
            text_bytes_max: alarms.text_bytes_max,
            said: Vec::new(),
        })
    }

    /// Raises the alarms of a line. Returns whether there is something to say.
    pub(super) fn hear(&mut self, line: &[u8]) -> bool {
        if line.starts_with(OWN) {
            return false;
        }
        for at in 0..self.lines.len() {
            if self.lines[at].1.fits(line) {
                for index in self.lines[at].0.clone() {
                    let is_excepted =
                        self.except.iter().any(|(bells, p)| bells.contains(&index) && p.fits(line));
                    if !is_excepted {
                        self.raise(index, line);
                    }
                }
            }
        }
        !self.said.is_empty()
    }

    /// Raises the alarm of this name.
    pub(super) fn ring(&mut self, name: &[u8], text: &[u8]) {
        if let Some(index) = self.bells.iter().position(|bell| bell.name.as_bytes() == name) {
            self.raise(index, text);
        }
    }

    /// Raises the alarms of a crash, which this text tells about.
    pub(super) fn crash(&mut self, text: &[u8]) {
        for index in self.segfault.clone() {
            self.raise(index, text);
        }
    }

    /// What is to be written, once.
    pub(super) fn said(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.said)
    }

    fn raise(&mut self, index: usize, text: &[u8]) {
        let bell = &mut self.bells[index];
        let text = &text[..text.len().min(self.text_bytes_max)];
        let now = Instant::now();
        // uWSGI: its own echo must not raise it for ever.
        let is_echo = |(at, before): &(Instant, Vec<u8>)| now - *at < self.freq && before == text;
        if bell.last.as_ref().is_some_and(is_echo) {
            return;
        }
        bell.last = Some((now, text.to_vec()));
        match &mut bell.deed {
            Deed::Line(argument) => {
                let mut line = String::new();
                crate::sys::ctime(super::now_s(), &mut line);
                let begin = format!("{line} - ALARM: {argument} ");
                self.said.push([begin.as_bytes(), text].concat());
            }
            Deed::Datagram(packets) => packets.send(text, false),
            Deed::Command(command) => {
                bell.running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
                if bell.running.len() >= RUNNING_MAX {
                    bell.missed += 1;
                    return;
                }
                let missed = std::mem::take(&mut bell.missed);
                if missed > 0 {
                    let name = &bell.name;
                    let what = "commands of it still ran";
                    let line =
                        format!("[uwsgi-alarm] {name} was not raised {missed} times: {what}");
                    self.said.push(line.into_bytes());
                }
                match program::spawn(command) {
                    Ok((child, mut stdin)) => {
                        // No more than a pipe takes at once, and it may not read it at all.
                        let _ = stdin.write_all(&[text, b"\n"].concat());
                        bell.running.push(child);
                    }
                    Err(error) => {
                        let line = format!("[uwsgi-alarm] {}: {error}", bell.name);
                        self.said.push(line.into_bytes());
                    }
                }
            }
        }
    }

    /// Takes the end of commands that have ended.
    pub(super) fn tend(&mut self) {
        for bell in &mut self.bells {
            bell.running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Alarm;

    fn bells(deed: AlarmDeed, freq_s: u64) -> Bells {
        let alarms = vec![Alarm { name: "one".into(), deed }];
        let lines = vec![(vec!["one".into()], "^bad".into())];
        let except = vec![(vec!["one".into()], "harmless$".into())];
        let segfault = vec!["one".into()];
        let text_bytes_max = 10;
        Bells::new(&Alarms { alarms, lines, except, segfault, freq_s, text_bytes_max }).unwrap()
    }

    #[test]
    fn the_same_line_raises_an_alarm_once_in_a_while() {
        let mut bells = bells(AlarmDeed::Line("x".into()), 1000);
        let mut said = |line: &str| {
            bells.hear(line.as_bytes());
            bells.said().len()
        };
        assert_eq!([said("good"), said("bad one"), said("bad one")], [0, 1, 0]);
        assert_eq!([said("bad two"), said("[uwsgi-alarm] bad")], [1, 0]);
        assert_eq!([said("bad but harmless"), said("bad but harmless?")], [0, 1]);
        bells.crash(b"a text of a crash");
        let said = bells.said();
        assert!(said[0].ends_with(b" - ALARM: x a text of "), "{said:?}");
    }

    #[test]
    fn commands_that_do_not_end_are_few() {
        let mut bells = bells(AlarmDeed::Command("exec sleep 100".into()), 0);
        for number in 0..100 {
            bells.hear(format!("bad {number}").as_bytes());
        }
        assert_eq!(bells.bells[0].running.len(), RUNNING_MAX);
        for mut child in bells.bells[0].running.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        bells.hear(b"bad again");
        assert!(bells.said()[0].starts_with(b"[uwsgi-alarm] one was not raised 92 times"));
        for mut child in bells.bells[0].running.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn names_and_patterns_must_be_right() {
        let alarms = |name: &str, pattern: &str| Alarms {
            alarms: vec![Alarm { name: "one".into(), deed: AlarmDeed::Line(String::new()) }],
            lines: vec![(vec![name.into()], pattern.into())],
            ..Alarms::default()
        };
        assert!(Bells::new(&alarms("one", "x")).is_ok());
        let error = |name, pattern| Bells::new(&alarms(name, pattern)).err().unwrap();
        assert_eq!(error("two", "x"), "log-alarm: there is no alarm \"two\"");
        assert!(error("one", "(").starts_with("log-alarm: \"(\" is no regular expression"));
    }
}
