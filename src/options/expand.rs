//! What stands for something else in a value: over all settings, first `$(ENV)`, then `@(file)`,
//! then `%(option)`.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::process::Command;

use super::Environment;
use super::setting::{Read, Setting, World};
use crate::error::StartError;

/// A longer value is one that refers to itself, or was made to fill the memory.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// All values together.
const BYTES_MAX: usize = 64 << 20;
/// `%(a)` that holds `%(b)` that holds ...
const STEPS_MAX: usize = 10_000;

/// All settings when nothing stands for something else any more.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) settings: Vec<Setting>,
    /// What looked wrong.
    pub(super) warnings: Vec<String>,
    /// Words that stand in a `%(...)`: keys of these names are variables.
    pub(super) asked: HashSet<String>,
}

/// Expands all settings.
pub(super) fn expand(
    settings: Vec<Setting>,
    env: &Environment,
    world: World,
) -> Result<Expanded, StartError> {
    let mut settings = settings;
    let mut warnings = Vec::new();
    let mut asked = HashSet::new();
    for text in settings.iter().filter_map(|setting| setting.value.as_deref()) {
        let opened = text.split("%(").skip(1).filter_map(|rest| rest.split_once(')'));
        asked.extend(opened.flat_map(|(inner, _)| inner.split(' ')).map(str::to_owned));
    }
    for setting in &mut settings {
        let Some(mut text) = setting.value.take() else { continue };
        let mut missing = Vec::new();
        if text.contains("$(") {
            text = from_environment(&text, env, &mut missing);
        }
        if text.contains("@(") {
            let content = |source: &str| from_source(source, world, &mut missing);
            text = replace(&text, "@(", content).map_err(|why| wrong(setting, &why))?;
        }
        setting.value = Some(text);
        let (name, origin) = (&setting.name, &setting.origin);
        warnings.extend(missing.iter().map(|what| format!("{origin}: {name}: {what}")));
    }
    let names = names(&settings);
    let mut bytes = 0;
    for place in 0..settings.len() {
        let Some(text) = settings[place].value.as_deref() else { continue };
        if text.contains("%(") {
            let mut missing = Vec::new();
            let known = Known { settings: &settings, names: Some(&names), place };
            let expanded = from_options(text, &known, &mut missing)
                .map_err(|why| wrong(&settings[place], &why))?;
            let (name, origin) = (&settings[place].name, &settings[place].origin);
            warnings.extend(missing.iter().map(|what| format!("{origin}: {name}: {what}")));
            settings[place].value = Some(expanded);
        }
        bytes += settings[place].value.as_ref().map_or(0, String::len);
        if bytes > BYTES_MAX {
            let why = format!("all values together are longer than {} MiB", BYTES_MAX >> 20);
            return Err(wrong(&settings[place], &why));
        }
    }
    Ok(Expanded { settings, warnings, asked })
}

fn wrong(setting: &Setting, why: &str) -> StartError {
    StartError::new(format!("{}: {}: {why}", setting.origin, setting.name))
}

/// The places of each name, in their order.
fn names(settings: &[Setting]) -> HashMap<String, Vec<usize>> {
    let mut names: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, setting) in settings.iter().enumerate() {
        // What stands behind the second is never asked for.
        match names.get_mut(&setting.name) {
            Some(places) if places.len() > 1 => {}
            Some(places) => places.push(place),
            None => drop(names.insert(setting.name.clone(), vec![place])),
        }
    }
    names
}

/// The name of a file that is read now, before all settings are known.
pub(super) fn early(text: &str, place: usize, read: &Read<'_>) -> Result<String, String> {
    if !text.contains('(') {
        return Ok(text.to_owned());
    }
    let text = from_environment(text, read.env, &mut Vec::new());
    let known = Known { settings: &read.settings, names: None, place };
    from_options(&text, &known, &mut Vec::new())
}

fn from_environment(text: &str, env: &Environment, missing: &mut Vec<String>) -> String {
    let replaced = replace(text, "$(", |name| {
        let found = env.iter().find(|(variable, _)| variable.to_str() == Some(name));
        if found.is_none() && !name.is_empty() {
            missing.push(format!("the environment has no {name}: $({name}) stays as it is"));
        }
        Ok(found.and_then(|(_, value)| value.to_str()).map(str::to_owned))
    });
    replaced.expect("looking something up does not fail")
}

/// `@(file)` or `@(exec://command)`.
fn from_source(
    source: &str,
    world: World,
    missing: &mut Vec<String>,
) -> Result<Option<String>, String> {
    let content = match source.split_once("://") {
        None if source.is_empty() || world == World::Closed => return Ok(None),
        None => read(source).map_err(|error| format!("cannot read {source}: {error}"))?,
        Some(("exec", command)) if world != World::Open => {
            missing.push(format!("what {command} prints is not asked for now"));
            return Ok(None);
        }
        Some(("exec", command)) => {
            let output = Command::new("/bin/sh").args(["-c", command]).output();
            output.map_err(|error| format!("cannot run {command}: {error}"))?.stdout
        }
        Some((scheme, _)) => {
            return Err(format!("expected @(file) or @(exec://command), found {scheme}://"));
        }
    };
    if content.len() > VALUE_BYTES_MAX {
        return Err(format!("{source} gives more than {} MiB", VALUE_BYTES_MAX >> 20));
    }
    if content.contains(&0) {
        return Err(format!("expected text in {source}, found a NUL byte"));
    }
    // uWSGI: blanks before the end of the line are part of the value.
    Ok(Some(String::from_utf8_lossy(&content).trim_end_matches(['\r', '\n']).to_owned()))
}

/// What a file holds, as far as a value may be long.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = super::contents::open(std::path::Path::new(path))?;
    std::io::Read::read_to_end(&mut file.take(VALUE_BYTES_MAX as u64 + 1), &mut content)?;
    Ok(content)
}

/// Replaces each `open` ... `)` by what `found` gives for the text between; else leaves it.
fn replace(
    text: &str,
    open: &str,
    mut found: impl FnMut(&str) -> Result<Option<String>, String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let Some((inner, behind)) = after.split_once(')') else { break };
        out.push_str(before);
        match found(inner)? {
            Some(value) => out.push_str(&value),
            None => out.extend([open, inner, ")"]),
        }
        rest = behind;
        if out.len() > VALUE_BYTES_MAX {
            return Err(too_long());
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn too_long() -> String {
    format!("it grows beyond {} MiB: does it refer to itself?", VALUE_BYTES_MAX >> 20)
}

/// What `%(name)` finds: the settings, seen from one of them.
struct Known<'a> {
    settings: &'a [Setting],
    /// Without it the settings are searched.
    names: Option<&'a HashMap<String, Vec<usize>>>,
    place: usize,
}

impl Known<'_> {
    /// uWSGI: the first setting of that name counts, above `place` or below it.
    fn value(&self, name: &str) -> Option<&str> {
        let setting = match self.names {
            Some(names) => {
                let places = names.get(name)?;
                &self.settings[*places.iter().find(|place| **place != self.place)?]
            }
            None => self.settings.iter().find(|setting| setting.name == name)?,
        };
        // uWSGI: a bare flag reads as nothing.
        Some(setting.value.as_deref().unwrap_or(""))
    }
}

/// Replaces `%(name)` and `%(a + 1)`, and again in what was put in. Where nothing has that name
/// the text stays, and one within it may be replaced.
fn from_options(
    text: &str,
    known: &Known<'_>,
    missing: &mut Vec<String>,
) -> Result<String, String> {
    let mut out = text.to_owned();
    let mut from = 0;
    let mut steps = 0;
    while let Some(open) = out[from..].find("%(").map(|at| from + at) {
        from = open + 2;
        let Some(close) = closing(&out[from..]).map(|at| from + at) else {
            steps += 1;
            if steps > STEPS_MAX {
                break;
            }
            continue;
        };
        let inner = &out[from..close];
        let terms: Vec<_> = inner.split(' ').filter(|term| !term.is_empty()).collect();
        let value = match terms.as_slice() {
            [] => None,
            // uWSGI: a blank makes a calculation of it, and a name that is not known is nothing.
            [name] if *name == inner => known.value(name).map(str::to_owned),
            terms => {
                if inner.contains('(') {
                    missing.push(format!("%({inner}): parentheses do not nest"));
                }
                Some(calculate(terms, known)?)
            }
        };
        let Some(value) = value else { continue };
        steps += 1;
        if steps > STEPS_MAX || out.len() + value.len() > VALUE_BYTES_MAX {
            return Err(too_long());
        }
        out.replace_range(open..=close, &value);
        from = open;
    }
    Ok(out)
}

/// Where the parenthesis closes that was open before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What stands between two terms.
#[derive(Clone, Copy)]
enum Operator {
    /// Also what uWSGI does not know.
    Join,
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// uWSGI: from left to right, no precedence, whole numbers; texts that no operator stands between
/// are joined.
fn calculate(terms: &[&str], known: &Known<'_>) -> Result<String, String> {
    let mut total = String::new();
    let mut operator = Operator::Join;
    for term in terms {
        let one = |add| (number(&total).saturating_add(add)).to_string();
        operator = match *term {
            "+" => Operator::Add,
            "-" => Operator::Subtract,
            "*" => Operator::Multiply,
            "/" => Operator::Divide,
            "++" => {
                total = one(1);
                Operator::Join
            }
            "--" => {
                total = one(-1);
                Operator::Join
            }
            text => {
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                // uWSGI: a word that is neither a number nor known is nothing.
                let text = if is_number { text } else { known.value(text).unwrap_or("") };
                if total.len() + text.len() > VALUE_BYTES_MAX {
                    return Err(too_long());
                }
                total = applied(operator, &total, text);
                Operator::Join
            }
        };
    }
    Ok(total)
}

fn applied(operator: Operator, left: &str, right: &str) -> String {
    let (first, second) = (number(left), number(right));
    let result = match operator {
        Operator::Join => return format!("{left}{right}"),
        Operator::Add => first.saturating_add(second),
        Operator::Subtract => first.saturating_sub(second),
        Operator::Multiply => first.saturating_mul(second),
        Operator::Divide => first.checked_div(second).unwrap_or(0),
    };
    result.to_string()
}

/// uWSGI: the digits in front; 0 without any.
fn number(text: &str) -> i64 {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with('-'));
    let digits = text.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    text[..sign + digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::options::Origin;

    fn tried(lines: &[&str]) -> Result<Vec<String>, String> {
        let settings = lines.iter().map(|line| {
            let (name, value) = match line.split_once(" = ") {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (*line, None),
            };
            Setting { name: name.to_owned(), value, origin: Origin::Argument(1) }
        });
        let env = vec![("WORKERS".into(), "6".into())];
        let expanded =
            expand(settings.collect(), &env, World::Open).map_err(|error| error.to_string())?;
        Ok(expanded.settings.into_iter().map(|setting| setting.value.unwrap_or_default()).collect())
    }

    fn expanded(lines: &[&str]) -> Vec<String> {
        tried(lines).expect("all is right")
    }

    #[test]
    fn the_first_setting_of_a_name_is_its_variable() {
        let lines = ["name = a", "x = %(name) %(later)", "name = b", "x = %(name)", "later = z"];
        assert_eq!(expanded(&lines), ["a", "a z", "b", "a", "z"]);
        assert_eq!(expanded(&["vacuum", "x = [%(vacuum)]"]), ["", "[]"]);
        assert_eq!(expanded(&["x = 1", "x = %(x)2", "y = %(x)"]), ["1", "12", "1"]);
    }

    #[test]
    fn values_within_values_are_replaced_too() {
        let lines = ["x = a%(y)", "y = b%(z)", "z = c", "w = %(x)"];
        assert_eq!(expanded(&lines), ["abc", "bc", "c", "abc"]);
        let lines = ["a = x", "x = deep", "b = %(a%(a))", "d = %(%(a))", "e = ((%(a)"];
        assert_eq!(expanded(&lines), ["x", "deep", "%(ax)", "%(x)", "((x"]);
        let lines = ["t = %(a) %(b", "a = 1)", "b = x)%(a)", "c = $(%(d))", "d = WORKERS"];
        assert_eq!(expanded(&lines), ["1) %(b", "1)", "x)1)", "$(WORKERS)", "WORKERS"]);
    }

    #[test]
    fn what_refers_to_itself_is_an_error() {
        let message = "argument 1: b: it grows beyond 1 MiB: does it refer to itself?";
        for lines in [["y = %(z)", "z = %(y)"], ["a = x%(b)", "b = %(a)"]] {
            let error = tried(&lines).expect_err("it goes in a circle");
            assert!(error.ends_with("does it refer to itself?"), "{error}");
        }
        let mut laughs = vec!["b = %(b1)".to_owned()];
        for level in 1..10 {
            laughs.push(format!("b{level} = {}", format!("%(b{})", level + 1).repeat(10)));
        }
        laughs.push("b10 = ha".to_owned());
        let laughs: Vec<_> = laughs.iter().map(String::as_str).collect();
        assert_eq!(tried(&laughs), Err(message.to_owned()));
    }

    #[test]
    fn sums_go_from_left_to_right() {
        for (sum, result) in [
            ("n + 4 * 2", "14"),
            ("n / 0", "0"),
            ("9 - n", "6"),
            ("n - 5", "-2"),
            (" n + 4 ", "7"),
            ("n + n + n", "9"),
            ("n + x", "3"),
            ("n + 4.7", "3"),
            ("1.5 * 2", "0"),
            ("s + n", "3"),
            ("n ++", "4"),
            ("n --", "2"),
            ("s n", "abc3"),
            ("s . n ^ s", "abc3abc"),
            ("n % 2", "32"),
            ("n -1", "3"),
            ("n +", "3"),
            ("nope nope", ""),
            ("nope + 1", "1"),
            ("n . 1 + 1", "32"),
            ("(n * 2) + 1", "1"),
        ] {
            assert_eq!(
                expanded(&["n = 3", "s = abc", &format!("x = %({sum})")])[2],
                result,
                "{sum}"
            );
        }
        assert_eq!(expanded(&["x = %(2*2) %(n+4) %() %( )"]), ["%(2*2) %(n+4) %() %( )"]);
    }

    #[test]
    fn the_environment_and_files_stand_in_values() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("count");
        fs::write(&file, "12\n").expect("written");
        let line = format!("x = @({})", file.display());
        let lines = ["x = $(WORKERS)", "x = $(NONE)/$(WORKERS)", "x = %($(WORKERS) * 2)", &line];
        assert_eq!(expanded(&lines), ["6", "$(NONE)/6", "12", "12"]);
        assert_eq!(expanded(&["x = 100%", "x = $(", "x = %()", "x = @()"])[3], "@()");
        assert_eq!(expanded(&["x = [@(exec://echo 4; echo 5)]"]), ["[4\n5]"]);
        let error = tried(&["x = @(/nowhere/it)"]).expect_err("it is not there");
        assert!(error.starts_with("argument 1: x: cannot read /nowhere/it: No such"), "{error}");
        assert!(tried(&["x = @(data://0)"]).is_err());
    }
}
