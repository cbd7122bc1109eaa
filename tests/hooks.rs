//! Commands and deeds at moments of the server's life, at times, and when files are touched.

use std::os::unix::fs::PermissionsExt;

use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{Mode, Server, app, eventually, scratch};

#[test]
fn hooks_run_in_their_order_and_around_the_app() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (order, made, old, ready) = (path("order"), path("made"), path("old"), path("ready"));
    std::fs::write(&old, "").unwrap();
    let append = |word: &str| format!("echo {word} >> {order}");
    let mut args: Vec<String> = Vec::new();
    for moment in ["post-app", "pre-app", "as-user", "as-root", "in-jail", "pre-jail", "asap"] {
        args.extend([format!("--exec-{moment}"), append(moment)]);
    }
    args.extend(["--exec-as-user-atexit".to_owned(), append("atexit")]);
    for hook in [
        format!("asap=mkdir:{made}"),
        format!("asap=write:{made}/text as it is"),
        format!("pre-app=chmod:{made}/text 640"),
        format!("pre-app=unlink:{old}"),
        "master-start=print:said by a hook".to_owned(),
        "pre-app=safeexec:exit 3".to_owned(),
        format!("accepting=write:{made}/accepting yes"),
        format!("accepting-once=write:{made}/accepting-once yes"),
        format!("accepting1=write:{made}/accepting1 yes"),
        format!("accepting1-once=exec:touch {ready}"),
        format!("post-app=write:{made}/post-app yes"),
    ] {
        let (moment, deed) = hook.split_once('=').unwrap();
        args.extend([format!("--hook-{moment}"), deed.to_owned()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut server = Server::http(Mode::ANY, "hello", &args);
    eventually("the hook of accepting", || std::fs::exists(&ready).unwrap());
    for name in ["accepting", "accepting-once", "accepting1", "post-app"] {
        assert_eq!(std::fs::read_to_string(format!("{made}/{name}")).unwrap(), "yes", "{name}");
    }
    let lines = || std::fs::read_to_string(&order).unwrap();
    let start = "asap\npre-jail\nin-jail\nas-root\nas-user\npre-app\n";
    eventually("the app is there", || lines() == format!("{start}post-app\n"));
    assert_eq!(std::fs::read_to_string(format!("{made}/text")).unwrap(), "as it is");
    let mode = std::fs::metadata(format!("{made}/text")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!std::fs::exists(&old).unwrap());
    server.log.line("said by a hook");
    server.log.line("\"exit 3\" (pre app) exited with code 3");
    assert_eq!(server.stop(libc::SIGTERM), 0);
    assert_eq!(lines(), format!("{start}post-app\natexit\n"));
}

#[test]
fn a_command_before_the_app_that_fails_ends_the_start() {
    let mut command = command(&["--http-socket", "127.0.0.1:0", "--wsgi-file", &app("hello")]);
    command.args(["--hook-pre-app", "exec:echo no such table >&2; exit 7"]);
    let (code, log) = Process::start(command).finish();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("no such table"), "{log}");
    assert!(log.contains("(pre app) exited with code 7"), "{log}");
    assert!(!log.contains("uwring is ready"), "{log}");
}

#[test]
fn a_command_that_fails_at_a_reload_leaves_the_old_server() {
    let directory = scratch();
    let broken = directory.path().join("broken");
    let migrate = format!("test ! -e {}", broken.display());
    let server = Server::http(Mode::ANY, "pid", &["--exec-pre-app", &migrate]);
    let pid = server.get("/").text().to_owned();
    std::fs::write(&broken, "").unwrap();
    server.signal(libc::SIGHUP);
    server.log.line("reload: nothing was changed, the old server goes on");
    assert_eq!(server.get("/").text(), pid);
    std::fs::remove_file(&broken).unwrap();
    server.signal(libc::SIGHUP);
    eventually("the next one works", || server.get("/").text() != pid);
}

#[test]
fn commands_get_no_signal_mask_and_no_descriptor_of_the_server() {
    let directory = scratch();
    let told = directory.path().join("told");
    let tell = format!(
        "grep -E 'Sig(Blk|Ign)' /proc/self/status > {0}.new; ls /proc/$$/fd >> {0}.new; \
         mv {0}.new {0}",
        told.display()
    );
    for option in ["--exec-pre-app", "--exec-post-app", "--attach-daemon", "--cron"] {
        let text = match option {
            "--attach-daemon" => format!("{tell}; exec sleep 1000"),
            "--cron" => format!("-1 -1 -1 -1 -1 {tell}"),
            _ => tell.clone(),
        };
        let _ = std::fs::remove_file(&told);
        let server = Server::http(Mode::ANY, "hello", &["--master", option, &text]);
        eventually("the command ran", || told.exists());
        let said = std::fs::read_to_string(&told).unwrap();
        // Signals 32 and 33 are the C library's own.
        let mask = |name: &str| {
            let hex = said.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            u64::from_str_radix(hex, 16).unwrap() & 0x7fff_ffff
        };
        assert_eq!((mask("SigBlk:"), mask("SigIgn:")), (0, 0), "{said}");
        let fds: Vec<&str> = said.lines().skip(2).collect();
        // The shell keeps a copy of its own for the redirection.
        let ours = |fd: &&&str| !["0", "1", "2", "10", "11", "255"].contains(*fd);
        assert_eq!(fds.iter().filter(ours).count(), 0, "{option}: {said}");
        drop(server);
    }
}

#[test]
fn a_touched_file_runs_its_command_and_its_hook() {
    let directory = scratch();
    let file = directory.path().join("touched").display().to_string();
    std::fs::write(&file, "").unwrap();
    let (exec, hook) =
        (format!("{file} echo by touch-exec"), format!("{file} print:by hook-touch"));
    let server = Server::http(Mode::ANY, "hello", &["--touch-exec", &exec, "--hook-touch", &hook]);
    std::fs::write(&file, "now").unwrap();
    server.log.line("by hook-touch");
    server
        .log
        .find("the command", |text| text.lines().any(|line| line == "by touch-exec").then_some(()));
    // One touch, one deed; and it was no reload.
    assert_eq!(server.log.text().matches("uwring is ready").count(), 1);
}

#[test]
fn a_signal_does_what_its_hook_says() {
    let hook = "unix_signal:1 gracefully_kill_them_all";
    let mut server = Server::http(Mode::ANY, "hello", &["--hook-master-start", hook]);
    assert_eq!(server.stop(libc::SIGHUP), 0);
    server.log.line("SIGHUP received: finishing the requests in flight");
    let hooks = ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"];
    let mut server = Server::http(Mode::ANY, "hello", &hooks);
    assert_eq!(server.stop(libc::SIGTERM), 0);
}

#[test]
fn what_is_no_hook_is_refused() {
    for (option, value, because) in [
        ("--hook-asap", "call:some_symbol", "the handler call is not known"),
        ("--hook-asap", "exec", "expected handler:argument"),
        ("--hook-master-start", "unix_signal:15 explode", "the function explode is not known"),
        ("--cron", "0 1 2 backup", "expected minute hour day month weekday command"),
        ("--attach-daemon2", "pidfile=/p", "expected cmd=COMMAND"),
    ] {
        let (code, log) = Process::start(command(&[option, value])).finish();
        assert_eq!(code, 1, "{log}");
        assert!(log.contains(because), "{log}");
    }
}

#[test]
fn cron_runs_what_the_minute_asks_for() {
    let directory = scratch();
    let ran = directory.path().join("ran").display().to_string();
    let (each, unique) = (format!("-1 -1 -1 -1 -1 echo each >> {ran}"), "-1 -1 -1 -1 -1 sleep 2");
    let never = format!("-1 -1 31 2 -1 echo never >> {ran}");
    // It ends by itself, too: one that the next minute starts has no master any more.
    let keyed = format!("minute=-1,harakiri=1 echo keyed >> {ran}; sleep 9");
    let more = ["--cron", &each, "--unique-cron", unique, "--cron", &never, "--cron2", &keyed];
    let server = Server::http(Mode::ANY, "hello", &more);
    let lines = || std::fs::read_to_string(&ran).unwrap_or_default();
    eventually("both ran", || lines().contains("each") && lines().contains("keyed"));
    server.log.line("[uwsgi-cron] running \"sleep 2\"");
    server.log.line("is killed after 1 s");
    server.log.line("\"sleep 2\" running with pid");
    assert!(!lines().contains("never"));
}
