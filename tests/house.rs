//! The house keeps its own rules: who imports whom, where unsafe may stand, how long a file is.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as `src/shard/mod.rs`.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The lines of a source file that are code, up to its unit tests, with their numbers.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let own = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let lines = own.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.starts_with("//"))
        .map(|(n, line)| (n, line.to_owned()))
        .collect()
}

/// What each room may import of the others, and of the crates that only some may use.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("request", &[]),
    ("response", &["request"]),
    ("error", &[]),
    ("sys", &[]),
    ("proto", &["request", "httparse"]),
    ("python", &["pyo3"]),
    ("handoff", &["request", "sys"]),
    ("files", &["request", "options"]),
    (
        "wsgi",
        &["python", "api", "request", "response", "handoff", "shared", "options", "log", "sys"],
    ),
    ("api", &["python", "shared", "handoff", "options", "log", "sys"]),
    (
        "shard",
        &["monoio", "proto", "files", "handoff", "shared", "log", "request", "response", "sys"],
    ),
    ("isolation", &["python", "wsgi", "options", "log", "shared", "sys"]),
    (
        "server",
        &[
            "shard",
            "wsgi",
            "isolation",
            "handoff",
            "files",
            "listen",
            "notify",
            "options",
            "shared",
            "stats",
            "log",
            "sys",
            "error",
            "python",
        ],
    ),
    ("listen", &["options", "error", "log", "sys"]),
    ("notify", &["options", "log", "sys"]),
    ("master", &["options", "listen", "notify", "shared", "stats", "log", "sys", "error"]),
    ("stats", &["shared", "options", "error", "log", "sys"]),
    ("shared", &["sys"]),
    ("log", &["options", "sys"]),
    ("options", &["error"]),
];

const GUARDED: &[&str] = &[
    "api",
    "error",
    "files",
    "handoff",
    "isolation",
    "listen",
    "log",
    "master",
    "notify",
    "options",
    "proto",
    "python",
    "request",
    "server",
    "shard",
    "shared",
    "stats",
    "sys",
    "wsgi",
];
const CRATES: &[&str] = &["monoio", "pyo3", "httparse"];

/// The room of a source file; None for main.rs and lib.rs.
fn room(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["main", "lib"].contains(&name)).then(|| name.to_owned())
}

/// The rooms and guarded crates that a line names.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, _) in line.match_indices("crate::") {
        let rest = &line[index + "crate::".len()..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        found.push(rest.chars().take_while(|&c| is_word(c)).collect::<String>());
    }
    for name in CRATES {
        if line.starts_with(&format!("use {name}"))
            || line.contains(&format!(" {name}::"))
            || line.contains(&format!("({name}::"))
        {
            found.push((*name).to_owned());
        }
    }
    found.retain(|name| GUARDED.contains(&name.as_str()) || CRATES.contains(&name.as_str()));
    found
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut broken = Vec::new();
    for path in files("src", "rs") {
        let Some(room) = room(&path) else { continue };
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} has no row in the table"));
        for (number, line) in code(&path) {
            for name in imports(&line) {
                if name != room && !allowed.contains(&name.as_str()) {
                    broken.push(format!("{}:{number}: {room} imports {name}", shown(&path)));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The files that wrap system calls.
const SYSTEM: &[&str] = &[
    "src/sys.rs",
    "src/sys/child.rs",
    "src/sys/clock.rs",
    "src/sys/crash.rs",
    "src/sys/exec.rs",
    "src/sys/harmless.rs",
    "src/sys/interfaces.rs",
    "src/sys/pipe.rs",
    "src/sys/scheduling.rs",
    "src/sys/socket.rs",
    "src/sys/title.rs",
    "src/sys/uring.rs",
    "src/sys/users.rs",
];

#[test]
fn unsafe_stands_only_behind_the_fence() {
    let mut broken = Vec::new();
    for path in files("src", "rs") {
        let name = shown(&path);
        let behind = name.starts_with("src/python/")
            || SYSTEM.contains(&name.as_str())
            || name == "src/handoff/region.rs";
        for (number, line) in code(&path) {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if !behind
                && (words.clone().any(|word| word == "unsafe")
                    || line.contains("allow(unsafe_code)"))
            {
                broken.push(format!("{name}:{number}: {line}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut broken = Vec::new();
    for path in files("src", "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let is_block = line.contains("unsafe {") && !line.starts_with("//");
            let above = &lines[index.saturating_sub(6)..index];
            if is_block
                && !line.contains("SAFETY")
                && !above.iter().any(|line| line.contains("SAFETY"))
            {
                broken.push(format!("{}:{}: {line}", shown(&path), index + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_have_at_most_500_lines_of_100_columns() {
    let mut broken = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let (name, count) = (shown(&path), text.lines().count());
        if count > 500 && name != "src/options/table.rs" {
            broken.push(format!("{name}: {count} lines"));
        }
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > 100 && !line.contains('"') {
                broken.push(format!("{name}:{}: {} columns", index + 1, line.chars().count()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn fixture_apps_have_less_than_40_lines() {
    for path in files("tests/apps", "py") {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() < 40, "{}: {} lines", shown(&path), text.lines().count());
        assert!(text.starts_with("\"\"\""), "{} says what it does", shown(&path));
    }
}

#[test]
fn every_room_opens_with_its_four_lines() {
    let begins = ["does: ", "does not: ", "Who may call it: ", "What it may import: "];
    for path in files("src", "rs").iter().filter(|path| path.ends_with("mod.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        // A sentence may go on in the next line.
        let mut head = text.lines().take_while(|line| line.starts_with("//!"));
        for begin in begins {
            let spoken = [
                format!("//! What it {begin}"),
                format!("//! What this room {begin}"),
                format!("//! {begin}"),
            ];
            let found = head.any(|line| spoken.iter().any(|begin| line.starts_with(begin)));
            assert!(found, "{}: no line \"{begin}\"", shown(path));
        }
    }
}

#[test]
fn nothing_outside_tests_unwraps() {
    let mut broken = Vec::new();
    for path in files("src", "rs").iter().filter(|path| !path.ends_with("corpus.rs")) {
        for (number, line) in code(path) {
            if [".unwrap()", "dbg!(", "todo!(", "unimplemented!("]
                .iter()
                .any(|word| line.contains(word))
            {
                broken.push(format!("{}:{number}: {line}", shown(path)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn names_mean_something() {
    let words = [
        "util", "common", "helper", "misc", "manager", "handler", "service", "context", "engine",
        "base",
    ];
    for folder in ["src", "tests"] {
        for path in files(folder, "rs") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let parts = shown(&path);
            let named = |word: &&str| stem.contains(*word) || parts.contains(&format!("/{word}"));
            assert!(!words.iter().any(named), "{parts} names nothing");
        }
    }
}

#[test]
fn only_the_shared_room_locks() {
    let mut broken = Vec::new();
    for path in files("src", "rs") {
        // What Python objects drop on other threads waits for its own: the fence imports no room.
        if shown(&path).starts_with("src/shared/") || path.ends_with("python/pinned.rs") {
            continue;
        }
        for (number, line) in code(&path) {
            if line.contains("Arc<Mutex<") {
                broken.push(format!("{}:{number}: {line}", shown(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
