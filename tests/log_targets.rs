//! Where lines go: loggers, routes, encoders, rotation, reopening; and that none is lost.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::process::Process;
use crate::harness::server::{clean, command};
use crate::harness::traffic::Traffic;
use crate::harness::{DEADLINE, Mode, Server, app, eventually, for_each_mode, scratch, tools};

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Waits until a file has a line with this in it.
fn await_line(path: &Path, part: &str) -> String {
    let mut line = None;
    eventually(&format!("{part} in {}", path.display()), || {
        let text = read(path);
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        line = whole.lines().find(|line| line.contains(part)).map(str::to_owned);
        line.is_some()
    });
    line.unwrap()
}

/// Lines that the server says it could not write: where the machine is so busy that the log's own
/// threads do not run, it loses lines, and never in silence.
fn told_lost(server: &Server) -> u64 {
    let text = server.log.text();
    let counts = text.lines().filter_map(|line| {
        let line = line.strip_suffix(" line(s) could not be written")?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    });
    counts.sum()
}

/// Lines of requests in all files of a directory that have this in their names.
fn request_lines(directory: &Path, part: &str) -> u64 {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().contains(part) {
            continue;
        }
        for line in read(&path).lines() {
            if line.contains("GET /") {
                let is_whole = line.starts_with("[pid: ") && line.ends_with(" switches on core 0)");
                assert!(is_whole, "{}: {line}", path.display());
                count += 1;
            }
        }
    }
    count
}

/// Where datagrams are taken; each one as text.
fn receive(mut next: impl FnMut(&mut [u8]) -> std::io::Result<usize>, part: &str) -> String {
    let until = Instant::now() + DEADLINE;
    let mut bytes = [0; 65536];
    while Instant::now() < until {
        let Ok(count) = next(&mut bytes) else { continue };
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if text.contains(part) {
            return text;
        }
    }
    panic!("no datagram with {part:?}");
}

#[test]
fn each_line_goes_where_routes_say() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = |name: &str| directory.path().join(name);
        let logger = |name: &str, file: &str| format!("{name}file:{}", path(file).display());
        let (all, named) = (logger("", "all"), logger("app ", "app"));
        let requests = logger("", "requests");
        let mut server = Server::http(
            mode,
            "prints",
            &[
                "--logger",
                "stdio",
                "--logger",
                &all,
                "--logger",
                &named,
                "--log-route",
                "app ^<(err|out)",
                "--log-drain",
                "^WSGI app",
                "--req-logger",
                &requests,
                "--log-encoder",
                r#"json:app {"m":"${msg}","t":${unix}}"#,
            ],
        );
        server.get("/?\"one");
        let line = await_line(&path("app"), "err");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["m"], "<err \"one>");
        await_line(&path("app"), "out");
        await_line(&path("all"), "<wsgi.errors \"one>");
        await_line(&path("all"), "uwring is ready:");
        await_line(&path("requests"), "GET /?\"one =>");
        server.log.line("<wsgi.errors \"one>");
        assert_eq!(server.stop(libc::SIGTERM), 0);
        let all = read(&path("all"));
        assert!(all.ends_with("goodbye to uwring.\n"), "{all}");
        assert!(!all.contains("<err") && !all.contains("WSGI app") && !all.contains("GET /"));
        assert!(!read(&path("app")).contains("uwring"));
        assert!(!server.log.text().contains("GET /"), "requests have loggers of their own");
    });
}

#[test]
fn encoders_make_of_a_line_what_uwsgi_makes_of_it() {
    let directory = scratch();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    let encoders = [
        "--log-encoder",
        r#"json {"m":"${msg}","y":"${strftime:%Y}","none":"${none}"}"#,
        "--log-encoder",
        "prefix P ",
        "--log-encoder",
        "suffix  S",
        "--log-encoder",
        "nl",
    ];
    let options = |path: &Path| {
        let mut all = vec!["--logger".to_owned(), format!("file:{}", path.display())];
        all.extend(encoders.map(str::to_owned));
        all
    };
    let more = options(&theirs);
    // Its own lines go to the file too, so that nothing says when it is ready.
    let Some(binary) = tools::uwsgi() else { return };
    let mut command = clean(&binary);
    command.args(["--http-socket", "127.0.0.1:0", "--master", "--die-on-term", "--wsgi-file"]);
    command.arg(app("logvars")).args(&more);
    let mut uwsgi = Process::start(command);
    let bound = await_line(&theirs, "bound to TCP address ");
    await_line(&theirs, "spawned uWSGI worker 1");
    let address = bound.split("bound to TCP address ").nth(1).unwrap();
    let address = address.split(' ').next().unwrap().to_owned();
    let mut all = options(&ours);
    all.extend(["--logger".to_owned(), "stdio".to_owned()]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let server = Server::http(Mode::ANY, "logvars", &all);
    let request = "GET /?q\"uoted HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // What encoders make of the ready line stands behind the address.
    let own = server.address().split('"').next().unwrap();
    for address in [own, &address] {
        let mut client = crate::harness::Client::connect(address);
        client.send(request);
        client.rest().unwrap();
    }
    let (ours, theirs) = (await_line(&ours, "app says"), await_line(&theirs, "app says"));
    assert_eq!(ours, theirs);
    uwsgi.stop(libc::SIGTERM);
}

#[test]
fn syslog_and_plain_datagrams_are_those_of_uwsgi() {
    let directory = scratch();
    let path = directory.path().join("log");
    let syslog = UnixDatagram::bind(&path).unwrap();
    syslog.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let far = udp.local_addr().unwrap();
    let loggers = [
        format!("rsyslog:{},ident,30", path.display()),
        format!("socket:{far}"),
        format!("rsyslog:{far}"),
    ];
    let more = ["--logger", &loggers[0], "--req-logger", &loggers[1], "--req-logger", &loggers[2]];
    let start = || {
        let mut more = more.to_vec();
        more.extend(["--logger", "stdio", "--req-logger", "stdio", "--rsyslog-packet-size=300"]);
        Server::http(Mode::ANY, "logvars", &more)
    };
    let server = start();
    server.get("/?one");
    let text = receive(|bytes| syslog.recv(bytes), "app says one");
    let (head, line) = text.split_at(text.find("ident").unwrap());
    assert_eq!(line, "ident: app says one");
    let is_date = head.len() == "<30>Nov 23 03:38:56 ".len() && head.starts_with("<30>");
    assert!(is_date && head.as_bytes()[13] == b':', "{head}");
    let text = receive(|bytes| udp.recv(bytes), "[pid: ");
    assert!(text.starts_with("[pid: ") && text.ends_with("core 0)\n"), "{text:?}");
    let text = receive(|bytes| udp.recv(bytes), "<29>");
    let host = uwring::sys::hostname();
    assert!(text.contains(&format!(" {host} uwsgi: [pid: ")), "{text:?}");
    server.get(&format!("/?{}", "x".repeat(1000)));
    let text = receive(|bytes| udp.recv(bytes), "<29>");
    assert_eq!(text.len(), 300, "longer lines lose their end");
}

#[test]
fn rotation_by_size_loses_and_splits_no_line() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = directory.path().join("app.log");
        let name = path.display().to_string();
        let limited = format!("file:logfile={name},maxsize=20000,backupname={name}.old");
        let keep = format!("file:{}", directory.path().join("all").display());
        let loggers = ["--req-logger", &limited, "--req-logger", &keep];
        let mut more = vec!["--logger", "stdio", "--processes", "2"];
        more.extend(loggers);
        let mut server = Server::http(mode, "hello", &more);
        let traffic = Traffic::start(&[server.address()], "/hello");
        eventually("a rotation", || Path::new(&format!("{name}.old")).exists());
        let before = traffic.requests();
        eventually("more of them", || traffic.requests() > before + 2000);
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(server.stop(libc::SIGTERM), 0);
        let written = request_lines(directory.path(), "all");
        assert_eq!(written + told_lost(&server), outcome.requests);
        // The newest lines, in order, whole.
        let all = read(&directory.path().join("all"));
        let newest = read(Path::new(&format!("{name}.old"))) + &read(&path);
        assert!(newest.len() > 20_000 && all.ends_with(&newest), "{}", newest.len());
    });
}

#[test]
fn the_log_is_reopened_and_rotated_when_told_and_not_by_a_reload() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let (log, pipe, touched) = (text("app.log"), text("pipe"), text("touched"));
    let (old, rotate) = (text("rotated.log"), text("rotate"));
    std::fs::write(&touched, "").unwrap();
    std::fs::write(&rotate, "").unwrap();
    let mut command = command(&[
        "--http-socket",
        "127.0.0.1:0",
        "--wsgi-file",
        &app("all_by_path"),
        "--isolation",
        "process",
        "--logto",
        &log,
        "--master-fifo",
        &pipe,
        "--touch-logreopen",
        &touched,
        "--touch-logrotate",
        &rotate,
        "--log-backupname",
        &old,
        "--logfile-chmod",
        "640",
    ]);
    command.env("LC_ALL", "C");
    let mut process = Process::start(command);
    let line = await_line(&path("app.log"), "uwring is ready:");
    let address = line.split(", on ").nth(1).unwrap().to_owned();
    let get = |target: &str| {
        let mut client = crate::harness::Client::connect(&address);
        client.get(target);
    };
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    std::fs::rename(&log, path("1.log")).unwrap();
    get("/hello?one");
    await_line(&path("1.log"), "/hello?one");
    process.signal(libc::SIGHUP);
    let ready = "uwring is ready:";
    eventually("the reload", || read(&path("1.log")).matches(ready).count() == 2);
    std::fs::write(&pipe, "l").unwrap();
    await_line(&path("app.log"), "was reopened");
    get("/prints?two");
    await_line(&path("app.log"), "<err two>");
    await_line(&path("app.log"), "/prints?two");

    std::fs::rename(&log, path("2.log")).unwrap();
    std::fs::write(&touched, "now").unwrap();
    await_line(&path("app.log"), "was reopened");
    get("/hello?three");
    await_line(&path("app.log"), "/hello?three");

    std::fs::write(&pipe, "L").unwrap();
    await_line(&path("app.log"), "was rotated");
    assert!(read(Path::new(&old)).contains("/hello?three"));
    std::fs::remove_file(&old).unwrap();
    std::fs::write(&rotate, "now").unwrap();
    eventually("the rotation", || Path::new(&old).exists());
    await_line(&path("app.log"), "was rotated");
    assert_eq!(process.stop(libc::SIGTERM), 0);
    assert!(read(&path("app.log")).ends_with("goodbye to uwring.\n"));
}

#[test]
fn reloads_and_a_stop_lose_no_line() {
    for_each_mode(|mode| {
        let directory = scratch();
        let keep = format!("file:{}", directory.path().join("all").display());
        let ini = directory.path().join("app.ini");
        let write = |more: &str| {
            std::fs::write(&ini, format!("[uwsgi]\nreq-logger = {keep}\n{more}\n")).unwrap();
        };
        write("");
        let ini_name = ini.display().to_string();
        let more = ["--logger", "stdio", "--processes", "2", "--ini", &ini_name];
        let mut server = Server::http(mode, "hello", &more);
        let traffic = Traffic::start(&[server.address()], "/hello");
        for reload in 1..4 {
            // The second one has other options, so another process takes the log over.
            write(if reload == 2 { "log-drain = nothing" } else { "" });
            let before = traffic.requests();
            eventually("the load goes on", || traffic.requests() > before + 100);
            server.signal(libc::SIGHUP);
            server.log.find(&format!("reload {reload}"), |text| {
                (text.matches("uwring is ready:").count() > reload).then_some(())
            });
        }
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(server.stop(libc::SIGTERM), 0);
        let written = request_lines(directory.path(), "all");
        assert_eq!(written + told_lost(&server), outcome.requests);
    });
}

/// The process that owns the log: the child of the master that has no child and two pipes to read.
fn log_process(server: &Server) -> i32 {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let children = std::fs::read_to_string(path).unwrap();
    // It is forked first of all.
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_death_of_the_logs_process_costs_no_line_that_follows() {
    let directory = scratch();
    let keep = directory.path().join("all");
    let logger = format!("file:{}", keep.display());
    let more = ["--logger", "stdio", "--req-logger", &logger];
    let mut server = Server::http(Mode::ANY, "hello", &more);
    server.get("/one");
    await_line(&keep, "GET /one");
    uwring::sys::kill(log_process(&server), libc::SIGKILL);
    for number in 0..50 {
        server.get(&format!("/after{number}"));
    }
    server.log.line("the log's process died: a new one writes the log");
    assert_eq!(server.stop(libc::SIGTERM), 0);
    let text = read(&keep);
    assert!((0..50).all(|number| text.contains(&format!("GET /after{number} "))), "{text}");
}

#[test]
fn targets_that_take_nothing_hold_up_nobody() {
    let directory = scratch();
    let path = directory.path().join("log");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gone = udp.local_addr().unwrap();
    drop(udp);
    let loggers = [
        "file:/dev/full".to_owned(),
        format!("rsyslog:{}", path.display()),
        format!("socket:{gone}"),
        "pipe:sleep 1000".to_owned(),
    ];
    let mut more = vec!["--logger", "stdio"];
    for logger in &loggers {
        more.extend(["--req-logger", logger]);
    }
    let mut server = Server::http(Mode::ANY, "hello", &more);
    let started = Instant::now();
    let mut client = server.connect();
    let long = "x".repeat(3000);
    for _ in 0..1000 {
        assert_eq!(client.get(&format!("/?{long}")).status, 200);
    }
    assert!(started.elapsed() < DEADLINE);
    // A reader that comes back is told what it missed, once.
    let reader = UnixDatagram::bind(&path).unwrap();
    reader.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut count = 0;
    let told = receive(
        |bytes| {
            count += 1;
            client.get(&format!("/again{count}"));
            reader.recv(bytes)
        },
        "were lost",
    );
    assert!(told.contains("log: ") && told.contains(" line(s) were lost: "), "{told}");
    receive(|bytes| reader.recv(bytes), "GET /again");
    drop(client);
    assert_eq!(server.stop(libc::SIGTERM), 0);
}

#[test]
fn a_program_gets_every_line_up_to_the_end() {
    let directory = scratch();
    let path = directory.path().join("all");
    let logger = format!("pipe:exec cat >> {}", path.display());
    let mut server =
        Server::http(Mode::ANY, "hello", &["--logger", "stdio", "--req-logger", &logger]);
    for number in 0..100 {
        server.get(&format!("/{number}"));
    }
    assert_eq!(server.stop(libc::SIGTERM), 0);
    assert_eq!(request_lines(directory.path(), "all"), 100);
}

#[test]
fn what_cannot_be_opened_ends_the_start() {
    let cases: &[(&[&str], &str)] = &[
        (&["--logto", "/no/such/a.log"], "argument 5: logto: /no/such/a.log: No such file or"),
        (&["--logger", "file:/no/such/a.log"], "uwring: logger file:/no/such/a.log: No such file"),
        (&["--logger", "redislog:a:1"], "the engine redislog is not supported"),
        (&["--log-alarm", "nobody x"], "log-alarm: there is no alarm \"nobody\""),
        (&["--alarm", "a xmpp:x"], "the alarm xmpp is not supported"),
        (&["--log-encoder", "gzip"], "the encoder gzip is not supported"),
        (&["--logger", "a stdio", "--log-route", "b x"], "there is no logger \"b\""),
        (
            &["--logger", "a stdio", "--log-route", "a ("],
            "log-route: \"(\" is no regular expression",
        ),
        (&["--chdir", "/no/such", "--logger", "file:/dev/null"], "chdir: /no/such: No such file"),
    ];
    for (more, wanted) in cases {
        let mut all = vec!["--http-socket", "127.0.0.1:0", "--wsgi-file", "none.py"];
        all.extend_from_slice(more);
        let (code, text) = Process::start(command(&all)).finish();
        assert_eq!(code, 1, "{more:?}: {text}");
        assert!(text.contains(wanted), "{more:?}: {text}");
    }
}

#[test]
fn the_log_is_emptied_at_the_start_only_when_told() {
    let directory = scratch();
    let path = directory.path().join("app.log");
    let name = path.display().to_string();
    for (more, stays) in [(&[][..], true), (&["--log-truncate"], false)] {
        std::fs::write(&path, "old\n").unwrap();
        let mut all = vec!["--http-socket", "127.0.0.1:0", "--wsgi-file"];
        let app = app("hello");
        all.extend([app.as_str(), "--logto", &name, "--isolation", "process"]);
        all.extend_from_slice(more);
        let mut process = Process::start(command(&all));
        await_line(&path, "uwring is ready:");
        assert_eq!(process.stop(libc::SIGTERM), 0);
        assert_eq!(read(&path).starts_with("old\n"), stays);
    }
}

#[test]
fn alarms_are_raised_by_lines_and_crashes() {
    let directory = scratch();
    let path = directory.path().join("rung");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mail = format!("mail cmd:cat >> {}", path.display());
    let far = format!("far udp:{}", udp.local_addr().unwrap());
    let more = ["--alarm", &mail, "--alarm", &far, "--alarm", "told log:told:"];
    let mut all = more.to_vec();
    all.extend(["--log-alarm", "mail,far <err terrible", "--log-alarm", "told,far GET /nothing"]);
    all.extend(["--alarm-segfault", "mail", "--alarm-freq", "1000"]);
    let mut server = Server::http(Mode::ANY, "all_by_path", &all);
    for query in ["fine", "terrible", "terrible", "terrible2"] {
        server.get(&format!("/prints?{query}"));
    }
    await_line(&path, "<err terrible2>");
    server.get("/nothing");
    let told = server.log.line(" - ALARM: told: [pid: ");
    assert!(told.contains("GET /nothing") && told.ends_with(" switches on core 0)"), "{told}");
    assert_eq!(receive(|bytes| udp.recv(bytes), "<err"), "<err terrible>");
    assert_eq!(receive(|bytes| udp.recv(bytes), "<err"), "<err terrible2>");
    receive(|bytes| udp.recv(bytes), "GET /nothing");
    server.get("/segfaults");
    await_line(&path, "died, killed by signal 11 :(");
    assert_eq!(server.stop(libc::SIGTERM), 0);
    let rung = read(&path);
    assert_eq!(rung.matches("<err").count(), 2, "once for the same line: {rung}");
    assert_eq!(server.log.text().matches("ALARM").count(), 1);
}
