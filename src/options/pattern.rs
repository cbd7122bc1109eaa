//! Regular expressions as uWSGI's users know them: PCRE's, with look-around.

/// A pattern that bytes are held against.
#[derive(Debug, Clone)]
pub struct Pattern(fancy_regex::Regex);

impl Pattern {
    /// # Errors
    /// What is wrong with the expression, in a few words.
    pub fn new(text: &str) -> Result<Pattern, String> {
        fancy_regex::Regex::new(text).map(Pattern).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or("").trim_start_matches("error: ");
            format!("\"{text}\" is no regular expression: {why}")
        })
    }

    /// Whether it fits anywhere. What takes too many steps does not fit.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        self.0.is_match(&*String::from_utf8_lossy(bytes)).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_look_around() {
        let pattern = Pattern::new(r"^((?!\{).)*$").expect("it is right");
        assert!(pattern.fits(b"a plain line") && !pattern.fits(b"{\"json\": 1}"));
        assert!(Pattern::new("/static/.*\\.css$").expect("right").fits(b"/static/a.css"));
        assert!(Pattern::new("\u{fc}").expect("right").fits("f\u{fc}r".as_bytes()));
        assert!(Pattern::new("a").expect("right").fits(b"\xff\xfea"));
        let error = Pattern::new("(").expect_err("it does not end");
        assert!(error.starts_with("\"(\" is no regular expression: "), "{error}");
    }
}
