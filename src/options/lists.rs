//! What `--loggers-list` and its like print: the parts that there are here, in uWSGI's form.

use super::recycling::Algorithm;
use super::{alarm, logging};

/// The list of what uWSGI calls so.
pub(super) fn list(kind: &str) -> Option<String> {
    let parts: Vec<&str> = match kind {
        "cheaper algorithms" => Algorithm::NAMES.map(|(name, _)| name).to_vec(),
        "loggers" => logging::ENGINES.to_vec(),
        "alarms" => alarm::KINDS.to_vec(),
        // The number is that of requests for it in the uwsgi protocol (modifier1).
        "request plugins" => vec!["0: python"],
        "loop engines" => vec!["simple"],
        "clocks" => vec!["unix"],
        // No emperor, no routing.
        "imperial monitors" | "routers" => Vec::new(),
        _ => return None,
    };
    let parts: String = parts.iter().map(|part| format!("{part}\n")).collect();
    let end = if kind == "request plugins" { "plugins" } else { kind };
    Some(format!("*** uWSGI loaded {kind} ***\n{parts}--- end of {end} list ---\n"))
}

#[cfg(test)]
mod tests {
    use super::super::table::TABLE;
    use super::super::value::Value;
    use super::super::{Options, help};
    use super::list;

    #[test]
    fn every_option_of_a_list_has_one() {
        let is_list = |name: &&str| name.ends_with("-list") && *name != "signal-list";
        let mut found = 0;
        for opt in TABLE.iter().filter(|opt| opt.names.iter().any(is_list)) {
            let mut options = Options::default();
            assert!((opt.set)(&mut options, Value { text: None }).is_ok());
            let text = help::answer(&options).unwrap_or_else(|| panic!("{:?}", opt.names));
            assert!(text.starts_with("*** uWSGI loaded "), "{text}");
            found += opt.names.len();
        }
        assert!(found >= 16, "{found}");
        let clocks = "*** uWSGI loaded clocks ***\nunix\n--- end of clocks list ---\n";
        assert_eq!(list("clocks").unwrap(), clocks);
    }

    #[test]
    fn what_is_listed_can_be_asked_for() {
        use super::{alarm::Alarm, logging::Logger};
        for name in super::logging::ENGINES {
            let argument = if name == "fd" { "1" } else { "127.0.0.1:1" };
            assert!(Logger::new(&format!("{name}:{argument}")).is_ok(), "{name}");
        }
        for name in super::alarm::KINDS {
            assert!(Alarm::new(&format!("a {name}:127.0.0.1:1")).is_ok(), "{name}");
        }
    }
}
