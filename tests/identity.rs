//! What the server's processes are called, the pidfile that is kept, and limits.

use std::path::Path;

use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{Mode, Server, app, eventually, for_each_mode, scratch};

/// The number, title and short name of a process and all below it.
fn titles(pid: u32) -> Vec<(u32, String, String)> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let title = read("cmdline").unwrap_or_default().trim_end_matches('\0').replace('\0', " ");
    let mut all = vec![(pid, title, read("comm").unwrap_or_default().trim().to_owned())];
    let children = read(&format!("task/{pid}/children")).unwrap_or_default();
    for child in children.split_ascii_whitespace() {
        all.extend(titles(child.parse().unwrap()));
    }
    all
}

#[test]
fn processes_have_the_titles_of_their_roles() {
    for_each_mode(|mode| {
        // The titles, `%` for the role, and the master's.
        for (options, title, boss) in [
            (&["--auto-procname"][..], "uWSGI %", "uWSGI %"),
            (
                &["--procname-prefix-spaced", "a name", "--procname-append", "!"],
                "a name uWSGI %!",
                "a name uWSGI %!",
            ),
            (&["--procname", "shop"], "shop", "shop"),
            (&["--procname-master", "boss"], "uWSGI %", "boss"),
        ] {
            let mut args = vec!["--master", "--processes", "2"];
            args.extend_from_slice(options);
            let server = Server::http(mode, "evaluates", &args);
            let roles: &[&str] = match mode.is_process() {
                true => &["master", "server", "spawner", "worker 1", "worker 2"],
                false => &["master", "server"],
            };
            let expected = roles.iter().map(|role| match *role {
                "master" => boss.replace('%', role),
                _ => title.replace('%', role),
            });
            let expected: Vec<String> = expected.collect();
            eventually("the titles", || {
                let found = titles(server.pid());
                let mut all: Vec<_> = found.iter().map(|(_, title, _)| title.clone()).collect();
                all[3.min(roles.len())..].sort();
                all == expected
            });
            for (_, title, short) in titles(server.pid()) {
                assert_eq!(short, title[..title.len().min(15)].trim_end(), "the kernel's name");
            }
            // The environment has moved and is the same.
            let path = server.get("/?os.environ[%27PATH%27]").json();
            assert_eq!(path.as_str(), std::env::var("PATH").ok().as_deref());
        }
    });
}

#[test]
fn an_app_names_its_worker() {
    let server = Server::http(Mode::ANY, "evaluates", &["--master"]);
    server.get("/?uwsgi.setprocname(%27my%20worker%27)");
    let found = titles(server.pid());
    assert!(found.iter().any(|(_, title, _)| title == "my worker"), "{found:?}");
}

#[test]
fn a_safe_pidfile_is_that_of_a_server_that_runs() {
    let directory = scratch();
    let pidfile = directory.path().join("pid").display().to_string();
    std::fs::write(&pidfile, "999999999").unwrap();
    let mut server = Server::http(Mode::ANY, "hello", &["--safe-pidfile", &pidfile, "--vacuum"]);
    let pid = server.pid().to_string();
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap().trim(), pid);
    let mut second = command(&["--http-socket", "127.0.0.1:0", "--wsgi-file", &app("hello")]);
    second.args(["--safe-pidfile", &pidfile]);
    let (code, log) = Process::start(second).finish();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains(&format!("the server {pid} that it names still runs")), "{log}");
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap().trim(), pid);
    assert_eq!(server.stop(libc::SIGTERM), 0);
    assert!(!Path::new(&pidfile).exists());
}

#[test]
fn limits_are_the_kernels() {
    let more = ["--max-fd", "512", "--limit-nproc", "9999"];
    let server = Server::http(Mode::ANY, "hello", &more);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let soft = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_ascii_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((soft("Max open files"), soft("Max processes")), ("512".into(), "9999".into()));
}

#[test]
fn a_limit_beyond_what_is_allowed_is_what_can_be_had() {
    // More than the kernel gives to anybody.
    let server = Server::http(Mode::ANY, "hello", &["--max-fd", "4294967295"]);
    server.log.line("max-fd: 4294967295 open files are not allowed");
    assert_eq!(server.get("/").text(), "hello");
}

/// uWSGI: some files are made before `chdir`, some within it.
#[test]
fn relative_files_lie_where_uwsgi_puts_them() {
    for (options, before, within) in [
        (&["--logto", "a"][..], &["a", "pid"][..], &["pid2", "safe", "safe2"][..]),
        (&["--logto2", "a"], &["a", "pid"], &["pid2", "safe", "safe2"]),
        (
            &["--logger", "file:a", "--logger", "stdio", "--req-logger", "file:b"],
            &["pid"],
            &["a", "b", "pid2", "safe", "safe2"],
        ),
    ] {
        let directory = scratch();
        let sub = directory.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        let socket = directory.path().join("app.sock").display().to_string();
        let hello = app("hello");
        let mut args = vec!["--http-socket", &socket, "--wsgi-file", &hello, "--chdir", "sub"];
        args.extend(["--pidfile", "pid", "--pidfile2", "pid2", "--vacuum", "--master"]);
        args.extend(["--safe-pidfile", "safe", "--safe-pidfile2", "safe2"]);
        args.extend_from_slice(options);
        let mut command = command(&args);
        command.current_dir(directory.path());
        let mut process = Process::start(command);
        let names = |directory: &Path| {
            let entries = std::fs::read_dir(directory).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> =
                names.filter(|name| !["sub", "app.sock"].contains(&name.as_str())).collect();
            names.sort();
            names
        };
        eventually("the files", || {
            names(directory.path()) == before && names(&sub) == within || process.has_ended()
        });
        assert_eq!((names(directory.path()), names(&sub)), {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            (owned(before), owned(within))
        });
        process.signal(libc::SIGTERM);
    }
}

/// The real group of a process.
fn group(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("Gid:")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn a_master_can_keep_what_its_server_gives_up() {
    if group(std::process::id()) != "0" {
        return; // Only root can give something up.
    }
    for_each_mode(|mode| {
        for (more, masters) in [(&["--master-as-root"][..], "0"), (&[], "7")] {
            let args = [&["--master", "--gid", "7"], more].concat();
            let mut server = Server::http(mode, "evaluates", &args);
            assert_eq!(group(server.pid()), masters);
            assert_eq!(server.get("/?os.getgid()").json(), 7);
            assert!(server.log.text().contains("setgid() to 7"));
            // A successor gives it up, too.
            server.signal(libc::SIGHUP);
            server.log.line("a successor serves");
            assert_eq!(server.get("/?os.getgid()").json(), 7);
            assert_eq!(group(server.pid()), masters);
            assert_eq!(server.stop(libc::SIGTERM), 0);
        }
    });
}

#[test]
fn further_groups_are_the_apps() {
    if group(std::process::id()) != "0" {
        return; // Only root can take groups.
    }
    for_each_mode(|mode| {
        let groups = ["--gid", "7", "--add-gid", "12", "--add-gid", "daemon"];
        let server = Server::http(mode, "evaluates", &groups);
        let mut has: Vec<i64> =
            serde_json::from_value(server.get("/?os.getgroups()").json()).unwrap();
        has.sort_unstable();
        has.retain(|&group| group != 7);
        assert_eq!(has, [1, 12]);
    });
}
