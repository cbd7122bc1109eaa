//! What someone is likely to have meant by a name that no option has.

use super::table::{self, Opt, Status};

/// Words that people write for an option that is called otherwise.
const OTHER_WORDS: [(&str, &[&str]); 16] = [
    ("app", &["module"]),
    ("bind", &["http-socket"]),
    ("exec-pre", &["exec-pre-app"]),
    ("group", &["gid"]),
    ("gui", &["gid"]),
    ("log-file", &["logto"]),
    ("logfile", &["logto"]),
    ("logging", &["logto"]),
    ("port", &["http-socket"]),
    ("process", &["processes"]),
    ("thread", &["threads"]),
    ("timeout", &["harakiri", "http-timeout"]),
    ("user", &["uid"]),
    ("venv-path", &["virtualenv"]),
    ("worker", &["workers"]),
    ("wsgi-module", &["module"]),
];

/// A question to whoever wrote this key of a file; none where nothing comes near.
pub(super) fn question(key: &str, value: Option<&str>) -> Option<String> {
    if ["<<<<<<<", ">>>>>>>", "|||||||"].iter().any(|mark| key.starts_with(mark)) {
        return Some("is this a mark of a merge?".to_owned());
    }
    // What stands behind the first word is the value, and may hold the first `=` of the line.
    if let Some((word, rest)) = key.split_once([' ', '\t', ':'])
        && table::find(word).is_some()
    {
        let tail = value.map(|value| format!("={value}")).unwrap_or_default();
        let rest = rest.trim_start_matches([' ', '\t', ':']);
        return Some(format!("is a = missing: {word} = {rest}{tail}?"));
    }
    match meant(key).as_slice() {
        [] => None,
        names => Some(format!("did you mean {}?", names.join(" or "))),
    }
}

/// The options that `name` may stand for: one, or two that are equally near.
pub(super) fn meant(name: &str) -> Vec<&'static str> {
    if let Some((_, names)) = OTHER_WORDS.iter().find(|(word, _)| *word == name) {
        return names.to_vec();
    }
    let allowed = (name.len() / 4).clamp(1, 2);
    let mut best: Vec<(&'static str, &'static Opt)> = Vec::new();
    let mut least = allowed;
    for (known, opt) in table::names() {
        if known.len().abs_diff(name.len()) > least || opt.status == Status::Hidden {
            continue;
        }
        let distance = distance(name, known);
        // Among short names nearly all are near: only letters that changed places say something.
        let is_far = name.len() < 4 && !is_turned(name, known) && distance > 0;
        if distance > least || is_far {
            continue;
        }
        if distance < least {
            best.clear();
            least = distance;
        }
        if !best.iter().any(|(_, other)| std::ptr::eq(*other, opt)) {
            best.push((known, opt));
        }
    }
    // Of many, none is likelier.
    if best.len() > 2 {
        return Vec::new();
    }
    best.into_iter().map(|(known, _)| known).collect()
}

/// Letters' case and the kind of dash aside.
fn plain(text: &str) -> Vec<u8> {
    let same = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    text.bytes().map(same).collect()
}

fn is_turned(left: &str, right: &str) -> bool {
    let sorted = |text: &str| {
        let mut bytes = plain(text);
        bytes.sort_unstable();
        bytes
    };
    sorted(left) == sorted(right)
}

/// Levenshtein's distance, where two neighbours that changed places count one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (plain(left), plain(right));
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.iter().enumerate() {
        let mut next = vec![line + 1; right.len() + 1];
        for (column, to) in right.iter().enumerate() {
            let change = row[column] + usize::from(from != to);
            let mut least = change.min(row[column + 1] + 1).min(next[column] + 1);
            if line > 0 && column > 0 && *from == right[column - 1] && left[line - 1] == *to {
                least = least.min(above[column - 1] + 1);
            }
            next[column + 1] = least;
        }
        above = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_the_option_that_was_meant() {
        for (name, names) in [
            ("procesess", &["processes"][..]),
            ("wsgi_file", &["wsgi-file"]),
            ("Master", &["master"]),
            ("evn", &["env"]),
            ("mdoule", &["module"]),
            ("process", &["processes"]),
            ("timeout", &["harakiri", "http-timeout"]),
            ("app", &["module"]),
            ("project-root", &[]),
            ("abc", &[]),
        ] {
            assert_eq!(meant(name), names, "{name}");
        }
        // One of them would serve as another user.
        let mut both = meant("guid");
        both.sort_unstable();
        assert_eq!(both, ["gid", "uid"]);
    }

    #[test]
    fn a_missing_sign_is_seen() {
        for (key, value, hint) in [
            ("master true", None, "is a = missing: master = true?"),
            ("master: true", None, "is a = missing: master = true?"),
            ("static-map /static", Some("/x"), "is a = missing: static-map = /static=/x?"),
            ("env A", Some("x"), "is a = missing: env = A=x?"),
            ("<<<<<<< HEAD", None, "is this a mark of a merge?"),
            ("threds", Some("2"), "did you mean threads?"),
        ] {
            assert_eq!(question(key, value).as_deref(), Some(hint), "{key}");
        }
        assert_eq!(question("my variable", Some("2")), None);
    }
}
