//! What the table and the settings say, for people: `--help`, `--show-config`, docs/options.md.

use std::fmt::Write;

use super::Options;
use super::table::{Opt, Section, Status, TABLE};

/// The text to print instead of serving, where that was asked for.
pub fn answer(options: &Options) -> Option<String> {
    if let Some(word) = &options.help {
        Some(if word.is_empty() { help() } else { search(word) })
    } else if options.version {
        Some(version())
    } else if let Some(name) = &options.dump_page {
        super::pages::page(name)
    } else if options.dump_options {
        Some(super::table::names().map(|(name, _)| format!("{name}\n")).collect())
    } else {
        options.get.as_ref().map(|name| value_of(name, options))
    }
}

/// `--get NAME`. uWSGI: the first setting of that name, which `%(NAME)` would be.
fn value_of(name: &str, options: &Options) -> String {
    let found = options.settings.iter().find(|setting| setting.name == name);
    found.map_or(String::new(), |found| format!("{}\n", found.value.as_deref().unwrap_or("true")))
}

/// `--version`.
pub fn version() -> String {
    format!("uwring {}\n", env!("CARGO_PKG_VERSION"))
}

/// How the command is written, for `--help` and the man page.
pub(super) fn usage() -> &'static str {
    "usage: uwring [options] [app.ini | app.py[:callable] | package.module:callable]\n\n\
     uwring --http :9090 --wsgi-file app.py --master --processes 4\n\
     uwring --ini app.ini\n\
     uwring --check-config app.ini\n\
     uwring doctor app.ini\n\
     uwring --help http\n"
}

/// `--help`: what has an effect, by section. docs/options.md has the rest.
pub fn help() -> String {
    let mut out = usage().to_owned();
    out.push_str(
        "\nEvery option is also a line of an ini file (`processes = 4` below `[uwsgi]`)\n\
         and an environment variable (UWSGI_PROCESSES=4). --help WORD shows what WORD stands in.\n",
    );
    for section in Section::ALL {
        let rows: Vec<_> = rows(section).filter(|opt| has_effect(opt)).collect();
        chapter(section, &rows, &mut out);
    }
    let others = TABLE.iter().filter(|opt| !has_effect(opt) && opt.status != Status::Hidden);
    let count: usize = others.map(|opt| opt.names.len()).sum();
    push(
        &mut out,
        format_args!(
            "\n{count} more of uWSGI's options are known, without effect here: see \
             docs/options.md.\n"
        ),
    );
    out
}

/// `--help WORD`: all options, those without effect too, whose name, help or section has the word.
fn search(word: &str) -> String {
    let wanted = word.trim_start_matches('-').to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let mut out = String::new();
    for section in Section::ALL {
        let fits = |opt: &&'static Opt| {
            has(section.title()) || has(opt.help) || opt.names.iter().any(|name| has(name))
        };
        let found: Vec<_> = rows(section).filter(fits).collect();
        chapter(section, &found, &mut out);
        for opt in found.iter().filter(|opt| opt.names.iter().any(|name| has(name))) {
            let note = match opt.status {
                Status::Adapted(why) => format!("uWSGI differs: {why}"),
                Status::Ignored(why) => format!("ignored: {why}"),
                Status::Refused(why) => format!("refused: {why}"),
                Status::Absent(why) => format!("left out, with a warning: {why}"),
                Status::Same | Status::Own | Status::Hidden => continue,
            };
            push(&mut out, format_args!("  * {}: {note}\n", opt.names.join(", ")));
        }
    }
    if out.is_empty() {
        let hint = super::hint::meant(&wanted).first().copied();
        let hint = hint.map_or(String::new(), |name| format!("; did you mean {name}?"));
        return format!("no option has to do with \"{word}\"{hint}\n");
    }
    out.trim_start().to_owned()
}

/// The rows of one section under its title.
fn chapter(section: Section, rows: &[&Opt], out: &mut String) {
    if rows.is_empty() {
        return;
    }
    push(out, format_args!("\n{}:\n", section.title()));
    for opt in rows {
        let left = names(opt);
        // A name too long for its column has the line for itself.
        let gap = if left.len() > 34 { format!("\n{:38}", "") } else { String::new() };
        push(out, format_args!("  {left:34}{gap}  {}\n", opt.help));
    }
}

/// `--show-config`: an ini file of what was set, files already in their places.
pub fn show_config(options: &Options) -> String {
    let mut out = String::from("; uwring: the configuration as it was read\n[uwsgi]\n");
    for setting in &options.settings {
        let name = &setting.name;
        // What such a file says follows in its place.
        let mark = if super::include::is_include(name) { "; " } else { "" };
        match &setting.value {
            Some(value) => push(&mut out, format_args!("{mark}{name} = {value}\n")),
            None => push(&mut out, format_args!("{mark}{name} = true\n")),
        }
    }
    out.push_str("; end of the configuration\n");
    out
}

/// The rows of a section that users may see.
pub(super) fn rows(section: Section) -> impl Iterator<Item = &'static Opt> {
    TABLE.iter().filter(move |opt| opt.section == section && opt.status != Status::Hidden)
}

pub(super) fn has_effect(opt: &Opt) -> bool {
    matches!(opt.status, Status::Same | Status::Adapted(_) | Status::Own)
}

/// `-p, --processes N`.
fn names(opt: &Opt) -> String {
    let short = opt.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    format!("{short}--{} {}", opt.names[0], opt.takes.metavar()).trim_end().to_owned()
}

/// Appends a text.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_letters_values_and_sections() {
        let help = help();
        assert!(help.contains("\nWorkers and threads:\n"), "{help}");
        assert!(help.contains("  -p, --processes N                   Run this many workers.\n"));
        assert!(help.lines().all(|line| line.len() <= 130), "{help}");
        assert!(!help.contains("dump-page"));
    }

    #[test]
    fn help_can_be_searched() {
        let found = search("keepalive");
        assert!(found.contains("--http-keepalive") && found.contains("--so-keepalive"), "{found}");
        assert!(!found.contains("--processes"), "{found}");
        let refused = search("--emperor");
        assert!(refused.contains("refused: One service for each app"), "{refused}");
        assert_eq!(
            search("proceses"),
            "no option has to do with \"proceses\"; did you mean processes?\n"
        );
    }

    #[test]
    fn the_shown_configuration_can_be_read_again() {
        let words = ["uwring", "-M", "--process", "4", "--env", "A=b"].map(Into::into);
        let options = super::super::from_process(words.into(), &Vec::new()).expect("it is right");
        assert_eq!(
            show_config(&options),
            "; uwring: the configuration as it was read\n[uwsgi]\nmaster = true\nprocesses = 4\n\
             env = A=b\n; end of the configuration\n"
        );
    }
}
