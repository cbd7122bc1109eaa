//! Pages that are made from the table: docs/options.md, docs/compatibility.md, the man page and the
//! completions of shells. `make docs` writes them; a test fails when one is stale.

use super::foreign::FOREIGN;
use super::help::{has_effect, push, rows, usage};
use super::table::{Opt, Section, Status, TABLE, Takes};

/// A page: where it lies in docs/, and what makes it.
pub type Page = (&'static str, fn() -> String);

/// All pages.
pub const PAGES: [Page; 6] = [
    ("options.md", options),
    ("compatibility.md", compatibility),
    ("uwring.1", manual),
    ("completions/uwring.bash", bash),
    ("completions/_uwring", zsh),
    ("completions/uwring.fish", fish),
];

/// The page of that name, or the completions of the shell of that name.
pub fn page(name: &str) -> Option<String> {
    let file = match name {
        "bash" => "completions/uwring.bash",
        "zsh" => "completions/_uwring",
        "fish" => "completions/uwring.fish",
        name => name,
    };
    let page = PAGES.iter().find(|(path, _)| *path == file).map(|(_, make)| make());
    page.or_else(|| super::lists::list(name))
}

fn options() -> String {
    let mut out = String::from(
        "# Options\n\n\
         Made from `src/options/table.rs` by `make docs`; a test fails when it is stale.\n\n\
         Every name is an option of the command line (`--processes 4`, `--processes=4`, or a\n\
         prefix that fits one option alone), a key of an ini file (`processes = 4` below\n\
         `[uwsgi]`) and an environment variable (`UWSGI_PROCESSES=4`). Compared with uWSGI's\n\
         option of that name it is *same*, *adapted*, *ignored* (it changes nothing, and that\n\
         does no harm), *absent* (it is left out with a warning, and serving goes on),\n\
         *refused* (it stops the start and says why) or uwring's *own*.\n\
         [compatibility.md](compatibility.md) has the counts and the differences alone.\n",
    );
    for section in Section::ALL {
        push(&mut out, format_args!("\n## {}\n\n", section.title()));
        out.push_str(
            "| option | value | what it does | compared with uWSGI |\n|---|---|---|---|\n",
        );
        for opt in rows(section) {
            let short = opt.short.map_or(String::new(), |letter| format!(" `-{letter}`"));
            let compared = match opt.status {
                Status::Same => "same".to_owned(),
                Status::Adapted(why) => format!("adapted: {why}"),
                Status::Own => "own".to_owned(),
                Status::Ignored(why) => format!("ignored: {why}"),
                Status::Absent(why) => format!("absent: {why}"),
                Status::Refused(why) => format!("refused: {why}"),
                Status::Hidden => continue,
            };
            let (names, value) = (code(opt), opt.takes.metavar());
            push(
                &mut out,
                format_args!("| {names}{short} | {value} | {} | {compared} |\n", opt.help),
            );
        }
    }
    out
}

/// All names of an option, for Markdown.
fn code(opt: &Opt) -> String {
    opt.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A status without its reason.
fn kind(status: Status) -> Option<&'static str> {
    Some(match status {
        Status::Same => "same",
        Status::Adapted(_) => "adapted",
        Status::Own => "own",
        Status::Ignored(_) => "ignored",
        Status::Absent(_) => "absent",
        Status::Refused(_) => "refused",
        Status::Hidden => return None,
    })
}

/// All rows, those of the unusual parts of uWSGI last.
fn all() -> impl Iterator<Item = &'static Opt> {
    TABLE.iter().chain(FOREIGN)
}

fn compatibility() -> String {
    let mut out = String::from(
        "# Compatibility with uWSGI\n\n\
         Made from `src/options/table.rs` by `make docs`; a test fails when it is stale.\n\n\
         uwring reads the command lines, configuration files and `UWSGI_*` variables of uWSGI 2.0\n\
         unchanged. It knows every name that uWSGI 2.0.31 accepts, also those of parts that a\n\
         usual build of it leaves out (Perl, PHP, PyPy and the like).\n\
         `uwring --check-config FILE` says by line what becomes of each setting.\n\n\
         | compared with uWSGI | names | means |\n|---|--:|---|\n",
    );
    for (word, meaning) in [
        ("same", "it does what it does there"),
        ("adapted", "it is honoured with the difference below"),
        ("ignored", "it changes nothing, and serving goes on correctly without it"),
        ("absent", "it is left out with a warning, and serving goes on correctly without it"),
        ("refused", "it stops the start and says what to do instead"),
        ("own", "uWSGI has no such option"),
    ] {
        let of_kind = all().filter(|opt| kind(opt.status) == Some(word));
        let count: usize = of_kind.map(|opt| opt.names.len()).sum();
        push(&mut out, format_args!("| {word} | {count} | {meaning} |\n"));
    }
    for (title, wanted) in [
        ("Honoured with a difference", "adapted"),
        ("Refused, and what to do instead", "refused"),
        ("Left out with a warning", "absent"),
        ("Ignored without harm", "ignored"),
    ] {
        let found: Vec<_> = all().filter(|opt| kind(opt.status) == Some(wanted)).collect();
        if found.is_empty() {
            continue;
        }
        push(&mut out, format_args!("\n## {title}\n\n| option | |\n|---|---|\n"));
        for opt in found {
            let reason = match opt.status {
                Status::Adapted(why)
                | Status::Ignored(why)
                | Status::Absent(why)
                | Status::Refused(why) => why,
                _ => opt.help,
            };
            push(&mut out, format_args!("| {} | {reason} |\n", code(opt)));
        }
    }
    out
}

/// Text as troff takes it.
fn troff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn manual() -> String {
    let mut out = format!(
        ".\\\" Made from src/options/table.rs by `make docs`.\n\
         .TH UWRING 1 \"\" \"uwring {}\" \"User Commands\"\n\
         .SH NAME\nuwring \\- an application server for Python's WSGI that takes uWSGI's place\n\
         .SH SYNOPSIS\n",
        env!("CARGO_PKG_VERSION")
    );
    for line in usage().lines().filter(|line| line.contains("uwring ")) {
        let line = line.trim_start_matches("usage: ");
        push(&mut out, format_args!(".B {}\n.br\n", troff(line)));
    }
    out.push_str(
        ".SH DESCRIPTION\n\
         Every option below is also a key of an ini file (processes = 4 below [uwsgi]) and an\n\
         environment variable (UWSGI_PROCESSES=4). Options of the command line may be cut to a\n\
         prefix that fits one of them alone. Files in YAML, JSON and XML are read too.\n",
    );
    for section in Section::ALL {
        let rows: Vec<_> = rows(section).filter(|opt| has_effect(opt)).collect();
        if rows.is_empty() {
            continue;
        }
        push(&mut out, format_args!(".SH {}\n", section.title().to_uppercase()));
        for opt in rows {
            let short = opt.short.map_or(String::new(), |letter| format!("\\-{letter}, "));
            let names: Vec<_> =
                opt.names.iter().map(|name| format!("\\-\\-{}", troff(name))).collect();
            let (names, value) = (names.join(", "), troff(opt.takes.metavar()));
            let head = format!("\\fB{short}{names}\\fR \\fI{value}\\fR");
            push(&mut out, format_args!(".TP\n{head}\n{}\n", troff(opt.help)));
            if let Status::Adapted(why) = opt.status {
                push(&mut out, format_args!("(uWSGI differs: {})\n", troff(why)));
            }
        }
    }
    out.push_str(
        ".SH EXIT STATUS\n\
         .TP\n0\nIt was stopped.\n\
         .TP\n1\nThe start failed; one line on standard error says why.\n\
         .TP\n22\nThere is no app, and need\\-app asks for one.\n\
         .SH SIGNALS\n\
         HUP reloads, TERM, INT and QUIT stop: docs/signals.md says how each differs.\n",
    );
    out
}

/// Rows that a shell offers: what has an effect.
fn offered() -> impl Iterator<Item = &'static Opt> {
    TABLE.iter().filter(|opt| has_effect(opt))
}

fn takes_value(opt: &Opt) -> bool {
    opt.takes != Takes::Flag
}

fn bash() -> String {
    let all: Vec<_> = offered().flat_map(|opt| opt.names).map(|name| format!("--{name}")).collect();
    let of_path: Vec<_> = offered()
        .filter(|opt| opt.takes == Takes::Path)
        .flat_map(|opt| opt.names)
        .map(|name| format!("--{name}"))
        .collect();
    format!(
        "# bash completion for uwring; made from src/options/table.rs by `make docs`.\n\
         _uwring() {{\n\
         \x20   local current=\"${{COMP_WORDS[COMP_CWORD]}}\"\n\
         \x20   local previous=\"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
         \x20   case \"$previous\" in\n\
         \x20   {})\n\
         \x20       mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n\
         \x20       return\n\
         \x20       ;;\n\
         \x20   esac\n\
         \x20   if [[ $current == -* ]]; then\n\
         \x20       mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$current\")\n\
         \x20   else\n\
         \x20       mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n\
         \x20   fi\n\
         }}\n\
         complete -o filenames -F _uwring uwring uwsgi\n",
        of_path.join("|"),
        all.join(" ")
    )
}

fn zsh() -> String {
    let mut out = String::from(
        "#compdef uwring uwsgi\n# Made from src/options/table.rs by `make docs`.\n_arguments \\\n",
    );
    let plain = |text: &str| {
        let text = text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]");
        text.replace(':', "\\:")
    };
    for opt in offered() {
        let value = match opt.takes {
            Takes::Flag => String::new(),
            Takes::Path => ":file:_files".to_owned(),
            takes => format!(":{}:", plain(takes.metavar())),
        };
        for name in opt.names {
            let help = plain(opt.help);
            push(&mut out, format_args!("    '*--{name}[{help}]{value}' \\\n"));
        }
    }
    out.push_str("    '*:configuration or app:_files'\n");
    out
}

fn fish() -> String {
    let mut out = String::from(
        "# fish completion for uwring; made from src/options/table.rs by `make docs`.\n",
    );
    for opt in offered() {
        let help = opt.help.replace('\\', "\\\\").replace('\'', "\\'");
        let value = match opt.takes {
            Takes::Path => " -r -F",
            _ if takes_value(opt) => " -x",
            _ => "",
        };
        for (index, name) in opt.names.iter().enumerate() {
            let short = opt.short.filter(|_| index == 0);
            let short = short.map_or(String::new(), |letter| format!(" -s {letter}"));
            let line = format!("complete -c uwring{short} -l {name}{value} -d '{help}'\n");
            out.push_str(&line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_are_fresh() {
        for (name, make) in PAGES {
            let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(path).unwrap_or_default();
            assert!(page == make(), "docs/{name} is stale: run `make docs`");
        }
    }

    #[test]
    fn no_option_is_left_out_of_a_page() {
        let (options, manual, bash) = (options(), manual(), bash());
        for opt in TABLE.iter().filter(|opt| opt.status != Status::Hidden) {
            for name in opt.names {
                assert!(options.contains(&format!("`{name}`")), "{name}");
                if has_effect(opt) {
                    assert!(manual.contains(&format!("\\-\\-{}", troff(name))), "{name}");
                    assert!(
                        bash.contains(&format!("--{name} "))
                            || bash.contains(&format!("--{name}\""))
                    );
                }
            }
        }
        assert!(!manual.contains("dump-page"));
    }
}
