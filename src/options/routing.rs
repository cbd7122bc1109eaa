//! Rules of uWSGI's internal routing. There is none here: what would only be missed is left out
//! with a warning, what a server must not silently leave out (access, redirects, headers) stops the
//! start.

use super::value::Wrong;

/// Actions that change no answer.
const HARMLESS: [&str; 6] = ["donotlog", "log", "last", "continue", "next", "logvar"];

/// `subject action:argument`.
pub(super) fn harmless_rule(text: &str) -> Result<(), Wrong> {
    // A pattern may hold blanks; an action's name does not.
    let action = text.trim().split(' ').skip(1).find(|word| has_name(word));
    match action {
        Some(action) => harmless_action(action),
        None => Err(Wrong::Expected("a pattern and an action, like ^/x donotlog:")),
    }
}

/// `action:argument`.
pub(super) fn harmless_action(text: &str) -> Result<(), Wrong> {
    let name = text.trim().split(':').next().unwrap_or("");
    if HARMLESS.contains(&name) {
        return Ok(());
    }
    Err(Wrong::Because(format!(
        "{name}: there is no internal routing, and leaving this rule out would change answers: let \
         nginx do it"
    )))
}

fn has_name(word: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    word.split_once(':').is_some_and(|(name, _)| is_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_change_no_answer_may_be_left_out() {
        for rule in ["^/health$ donotlog:", "^a b donotlog:", "equal:${X};y last:"] {
            assert_eq!(harmless_rule(rule), Ok(()), "{rule}");
        }
        for rule in [
            "^/admin basicauth:Secret,me:pw",
            "ishigher:${CONTENT_LENGTH};1500 break:413 Too Large",
            "equal:${HTTP_X_FORWARDED_PROTO};http redirect-permanent:https://x/",
        ] {
            assert!(matches!(harmless_rule(rule), Err(Wrong::Because(_))), "{rule}");
        }
        assert!(matches!(harmless_rule("^/x"), Err(Wrong::Expected(_))));
        assert_eq!(harmless_action("donotlog:"), Ok(()));
        assert!(harmless_action("addheader:X-A: b").is_err());
    }
}
