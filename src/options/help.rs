//! What the table and the settings say, for people: `--help`, `--show-config`, docs/options.md.

use std::fmt::Write;

use super::Options;
use super::table::{Opt, Section, Status, TABLE};

/// The text to print instead of serving, where that was asked for.
pub fn answer(options: &Options) -> Option<String> {
    if options.help {
        Some(help())
    } else if options.version {
        Some(version())
    } else if options.dump_options_md {
        Some(markdown())
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

/// `--help`: what has an effect, by section. docs/options.md has the rest.
pub fn help() -> String {
    let mut out = String::from(
        "usage: uwring [options] [app.ini | app.py[:callable] | package.module:callable]\n\n\
         uwring --http :9090 --wsgi-file app.py --master --processes 4\n\
         uwring --ini app.ini\n\
         uwring doctor app.ini\n\n\
         Every option is also a line of an ini file (`processes = 4` below `[uwsgi]`)\n\
         and an environment variable (UWSGI_PROCESSES=4).\n",
    );
    for section in Section::ALL {
        let rows: Vec<_> = rows(section).filter(|opt| has_effect(opt)).collect();
        if rows.is_empty() {
            continue;
        }
        push(&mut out, format_args!("\n{}:\n", section.title()));
        for opt in rows {
            let left = names(opt);
            // A name too long for its column has the line for itself.
            let gap = if left.len() > 34 { format!("\n{:38}", "") } else { String::new() };
            push(&mut out, format_args!("  {left:34}{gap}  {}\n", opt.help));
        }
    }
    let others = TABLE.iter().filter(|opt| !has_effect(opt) && opt.status != Status::Hidden);
    let count: usize = others.map(|opt| opt.names.len()).sum();
    push(
        &mut out,
        format_args!(
            "\n{count} more of uWSGI's options are known, without effect here or not yet: \
             see docs/options.md.\n"
        ),
    );
    out
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

/// The text of docs/options.md.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Options\n\n\
         Made from `src/options/table.rs` by `make docs`; a test fails when it is stale.\n\n\
         Every name is an option of the command line (`--processes 4`, `--processes=4`, or a\n\
         prefix that fits one option alone), a key of an ini file (`processes = 4` below\n\
         `[uwsgi]`) and an environment variable (`UWSGI_PROCESSES=4`). Compared with uWSGI's\n\
         option of that name it is *same*, *adapted*, *ignored* (it changes nothing, and that\n\
         does no harm), *later* (it is read, and has no effect yet), *refused* (it stops the\n\
         start and says why) or uwring's *own*.\n",
    );
    for section in Section::ALL {
        push(&mut out, format_args!("\n## {}\n\n", section.title()));
        out.push_str(
            "| option | value | what it does | compared with uWSGI |\n|---|---|---|---|\n",
        );
        for opt in rows(section) {
            let names: Vec<_> = opt.names.iter().map(|name| format!("`{name}`")).collect();
            let short = opt.short.map_or(String::new(), |letter| format!(" `-{letter}`"));
            let compared = match opt.status {
                Status::Same => "same".to_owned(),
                Status::Adapted(why) => format!("adapted: {why}"),
                Status::Own => "own".to_owned(),
                Status::Ignored(why) => format!("ignored: {why}"),
                Status::Later => "later".to_owned(),
                Status::Refused(why) => format!("refused: {why}"),
                Status::Hidden => continue,
            };
            let (names, value) = (names.join(", "), opt.takes.metavar());
            push(
                &mut out,
                format_args!("| {names}{short} | {value} | {} | {compared} |\n", opt.help),
            );
        }
    }
    out
}

fn rows(section: Section) -> impl Iterator<Item = &'static Opt> {
    TABLE.iter().filter(move |opt| opt.section == section && opt.status != Status::Hidden)
}

fn has_effect(opt: &Opt) -> bool {
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
    fn the_options_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == markdown(), "docs/options.md is stale: run `make docs`");
    }

    #[test]
    fn help_shows_letters_values_and_sections() {
        let help = help();
        assert!(help.contains("\nWorkers and threads:\n"), "{help}");
        assert!(help.contains("  -p, --processes N                   Run this many workers.\n"));
        assert!(help.lines().all(|line| line.len() <= 130), "{help}");
        assert!(!help.contains("dump-options-md"));
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
