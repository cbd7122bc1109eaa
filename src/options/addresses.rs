//! The addresses of a configuration among each other: numbers that stand for one, and those that
//! are written twice.

use super::table::{Opt, Takes};
use super::{Address, Options, Origin, Setting};

/// What is known of them while the settings are walked.
pub(super) struct Addresses<'a> {
    /// What `shared-socket` names: `=0`, `=1` .. stand for these.
    shared: Vec<&'a str>,
    /// Where each of `Options::sockets` was written.
    origins: Vec<&'a Origin>,
}

impl<'a> Addresses<'a> {
    pub(super) fn new(settings: &'a [Setting]) -> Addresses<'a> {
        let named = settings.iter().filter(|setting| setting.name == "shared-socket");
        let shared = named.filter_map(|setting| setting.value.as_deref()).collect();
        Addresses { shared, origins: Vec::new() }
    }

    /// The value of a setting; an address in the place of its number.
    pub(super) fn value(&self, setting: &'a Setting, opt: &Opt) -> Option<&'a str> {
        let text = setting.value.as_deref()?;
        let is_address = matches!(opt.takes, Takes::Address | Takes::HttpAddress);
        let number = text.strip_prefix('=').filter(|_| is_address);
        let number = number.and_then(|digits| digits.trim().parse::<usize>().ok());
        Some(number.and_then(|number| self.shared.get(number).copied()).unwrap_or(text))
    }

    /// Takes a socket away again that the setting has put beside one of the same address, and says
    /// so. uWSGI: the first one counts, with its protocol.
    pub(super) fn keep_first(
        &mut self,
        setting: &'a Setting,
        options: &mut Options,
    ) -> Option<String> {
        if options.sockets.len() <= self.origins.len() {
            return None;
        }
        let (last, earlier) = options.sockets.split_last()?;
        let earlier = &earlier[..self.origins.len()];
        // Each port that the system is to choose is another one.
        let is_chosen = matches!(last.address, Address::Tcp { port: 0, .. });
        let same = earlier.iter().position(|socket| socket.address == last.address);
        let Some(place) = same.filter(|_| !is_chosen) else {
            self.origins.push(&setting.origin);
            return None;
        };
        let (option, origin) = (&earlier[place].option, self.origins[place]);
        let note = format!("{origin} has this address already, as {option}: that one counts");
        options.sockets.pop();
        Some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Protocol, from_process, parse};

    #[test]
    fn an_address_that_is_written_twice_is_bound_once() {
        let args = ["--http-socket", ":8000", "--socket", "0.0.0.0:8000", "--http", ":8001"];
        let options = parse(&args).expect("it serves");
        let found: Vec<_> = options.sockets.iter().map(|socket| socket.protocol).collect();
        assert_eq!((found.len(), found[0]), (2, Protocol::Http));
        assert_eq!(
            options.warnings,
            ["argument 3: socket: argument 1 has this address already, as http-socket: that one \
              counts"]
        );
        let env: Environment = vec![("UWSGI_HTTP_SOCKET".into(), "127.0.0.1:1".into())];
        let words = ["uwring", "--http-socket", "127.0.0.1:1", "--socket", "/a", "--socket", "/a"];
        let options = from_process(words.map(Into::into).into(), &env).expect("it serves");
        assert_eq!((options.sockets.len(), options.warnings.len()), (2, 2));
    }

    #[test]
    fn ports_that_the_system_chooses_are_many() {
        let args = ["--http-socket", "127.0.0.1:0", "--http-socket", "127.0.0.1:0"];
        let options = parse(&args).expect("it serves");
        assert_eq!((options.sockets.len(), options.warnings.len()), (2, 0));
    }
}
