//! The `uwsgi` module and uwsgidecorators, as apps use them.

use serde_json::{Value, json};

use crate::harness::server::python_minor;
use crate::harness::{Client, Mode, Server, eventually, for_each_mode, scratch, tools};

/// The value of a Python expression in a worker.
fn value(client: &mut Client, expression: &str) -> Value {
    client.get(&url(expression)).json()
}

fn url(expression: &str) -> String {
    let mut url = "/?".to_owned();
    for byte in expression.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

#[test]
fn has_uwsgis_names_with_values_of_its_kinds() {
    for_each_mode(|mode| {
        let directory = scratch();
        let pidfile = directory.path().join("pid").display().to_string();
        let more = ["--master", "--processes", "2", "--pidfile", &pidfile, "--set", "colour=blue"];
        let server = Server::http(mode, "evaluates", &more);
        let mut client = server.connect();
        let pid = server.pid();
        for (expression, expected) in [
            ("uwsgi.numproc, uwsgi.cores, uwsgi.has_threads", json!([2, 1, 1])),
            ("uwsgi.masterpid(), uwsgi.mule_id()", json!([pid, 0])),
            ("uwsgi.worker_id() in (1, 2)", json!(true)),
            (
                "type(uwsgi.version).__name__, uwsgi.version_info[:3] >= (2, 0, 30)",
                json!(["bytes", true]),
            ),
            ("uwsgi.opt['colour'], uwsgi.opt['set']", json!(["blue", "colour=blue"])),
            ("uwsgi.opt['processes'], uwsgi.opt['master']", json!(["2", true])),
            ("uwsgi.pidfile", json!(pidfile)),
            ("uwsgi.hostname == os.uname().nodename.encode()", json!(true)),
            ("time.time() - uwsgi.started_on < 60", json!(true)),
            (
                "uwsgi.loop, uwsgi.unbit, uwsgi.applications, uwsgi.is_a_reload",
                json!([null, null, null, false]),
            ),
            ("hasattr(uwsgi, 'mode'), hasattr(uwsgi, 'spool')", json!([false, false])),
            (
                "uwsgi.magic_table[b'h'] == uwsgi.hostname, uwsgi.magic_table[b'v'] == os.getcwdb()",
                json!([true, true]),
            ),
            ("uwsgi.listen_queue(), uwsgi.listen_queue(0)", json!([0, 0])),
            ("uwsgi.listen_queue(9)", json!("ValueError('there is no socket of this number')")),
            ("abs(uwsgi.micros() - time.time() * 1e6) < 1e6", json!(true)),
            ("[0 < n < 2**40 for n in uwsgi.mem()]", json!([true, true])),
            ("uwsgi.accepting(), uwsgi.ready()", json!([null, true])),
            ("uwsgi.env is environ", json!(true)),
            ("len(uwsgi.sockets) > 0, uwsgi.SPOOL_OK", json!([true, -2])),
            (
                "uwsgi.no_such_name",
                json!(
                    "AttributeError(\"module 'uwsgi' has no attribute 'no_such_name' in this version\")"
                ),
            ),
        ] {
            assert_eq!(value(&mut client, expression), expected, "{expression}");
        }
        let before = value(&mut client, "uwsgi.total_requests()").as_i64().unwrap();
        assert!(before >= 20, "{before}");
    });
}

#[test]
fn tells_of_all_workers() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &["--processes", "2"]);
        let mut client = server.connect();
        let workers = value(&mut client, "uwsgi.workers()");
        let keys: Vec<&String> = workers[0].as_object().unwrap().keys().collect();
        let mut expected = [
            "id",
            "pid",
            "requests",
            "delta_requests",
            "signals",
            "exceptions",
            "status",
            "rss",
            "vsz",
            "running_time",
            "last_spawn",
            "respawn_count",
            "tx",
            "avg_rt",
            "apps",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        let status: Vec<_> = [0, 1].map(|w| workers[w]["status"].as_str().unwrap()).into();
        assert_eq!(status.iter().filter(|status| **status == "busy").count(), 1, "{workers}");
        assert!(status.contains(&"idle"), "{workers}");
        assert_eq!(workers[1]["id"], 2);
        let rss = workers[0]["rss"].as_i64().unwrap();
        assert!(rss > 1 << 20, "{rss}");
        let keys: Vec<&String> = workers[0]["apps"][0].as_object().unwrap().keys().collect();
        let mut expected = [
            "id",
            "modifier1",
            "mountpoint",
            "startup_time",
            "interpreter",
            "callable",
            "requests",
            "exceptions",
            "chdir",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    });
}

#[test]
fn logvars_last_as_long_as_their_request() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &[]);
        let mut client = server.connect();
        let set =
            "uwsgi.set_logvar('user', 'joe'), uwsgi.get_logvar('user'), uwsgi.get_logvar('x')";
        assert_eq!(value(&mut client, set), json!([null, "joe", null]));
        assert_eq!(value(&mut client, "uwsgi.get_logvar('user')"), json!(null));
        let wrong = value(&mut client, "uwsgi.set_logvar('user', 3)");
        assert!(wrong.as_str().unwrap().starts_with("TypeError("), "{wrong}");
    });
}

#[test]
fn a_lock_holds_off_the_other_workers() {
    for_each_mode(|mode| {
        let directory = scratch();
        let go = directory.path().join("go");
        let more = ["--processes", "2", "--locks", "2"];
        let server = Server::http(mode, "evaluates", &more);
        let mut holder = server.connect();
        let wait = format!(
            "alone(lambda: [print('holding', flush=True)] and \
             [time.sleep(0.01) for _ in iter(lambda: os.path.exists({go:?}), True)] and 'done')"
        );
        holder.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", url(&wait)));
        server.log.line("holding");
        let mut other = server.connect();
        assert_eq!(
            value(&mut other, "uwsgi.is_locked(), uwsgi.is_locked(2)"),
            json!([true, false])
        );
        other.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", url("alone(lambda: 'second')")));
        // It has had more than the time that it would need.
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!other.has_answer());
        std::fs::write(&go, "").unwrap();
        assert_eq!(holder.response().text(), "\"done\"");
        assert_eq!(other.response().text(), "\"second\"");
        let wrong = json!("ValueError('Invalid lock number')");
        assert_eq!(value(&mut other, "uwsgi.lock(3)"), wrong);
    });
}

#[test]
fn a_dead_worker_holds_no_lock() {
    for_each_mode(|mode| {
        if !mode.is_process() {
            return; // Its death is the death of all.
        }
        let server = Server::http(mode, "evaluates", &["--processes", "2"]);
        let mut client = server.connect();
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: a\r\n\r\n",
            url("uwsgi.lock() or os.kill(os.getpid(), 9)")
        ));
        assert_eq!(client.response().status, 502);
        assert_eq!(value(&mut server.connect(), "alone(lambda: 'free')"), json!("free"));
        server.log.line("held 1 lock(s) of uwsgi.lock() when it died: freed");
    });
}

#[test]
fn signals_reach_every_worker_and_timers_run_in_the_first() {
    for_each_mode(|mode| {
        for more in [&[][..], &["--lazy-apps"]] {
            let mut args = vec!["--processes", "2"];
            args.extend_from_slice(more);
            let server = Server::http(mode, "evaluates", &args);
            assert_eq!(value(&mut server.connect(), "uwsgi.signal(17)"), json!(null));
            let both = "[uwsgi.worker_id(), HEARD]";
            let mut heard = std::collections::BTreeMap::new();
            eventually("both workers hear it", || {
                let said = value(&mut server.connect(), both);
                heard.insert(said[0].to_string(), said[1].to_string());
                heard.len() == 2 && heard.values().all(|numbers| numbers == "[17]")
            });
            server.log.find("two ticks", |text| {
                (text.matches("timer 0 in worker 1").count() >= 2).then_some(())
            });
            assert!(!server.log.text().contains("in worker 2"));
        }
    });
}

#[test]
fn a_decorated_thread_and_a_file_that_changes() {
    for_each_mode(|mode| {
        let directory = scratch();
        let file = directory.path().join("watched");
        std::fs::write(&file, "").unwrap();
        let server = Server::http(mode, "evaluates", &[]);
        let mut client = server.connect();
        let start = "thread(lambda: print('by', threading.current_thread().daemon, flush=True))()";
        value(&mut client, start);
        server.log.line("by True");
        let watch = format!("uwsgi.add_file_monitor(17, {file:?})");
        value(&mut client, &watch);
        std::fs::write(&file, "changed").unwrap();
        eventually("the change is told", || value(&mut client, "HEARD") == json!([17]));
    });
}

#[test]
fn a_touched_file_raises_a_signal() {
    for_each_mode(|mode| {
        let directory = scratch();
        let (file, code) = (directory.path().join("touched"), directory.path().join("app.py"));
        std::fs::write(&file, "").unwrap();
        let hears = "lambda n: print('heard', n, 'in', uwsgi.worker_id(), flush=True)";
        let register = format!("import uwsgi\nuwsgi.register_signal(17, 'workers', {hears})\n");
        let app = "application = lambda environ, start_response: []\n";
        std::fs::write(&code, register + app).unwrap();
        let touch = format!("{} 17", file.display());
        let code = code.display().to_string();
        let start = ["--http-socket", "127.0.0.1:0", "--wsgi-file", &code, "--processes", "2"];
        let server = Server::start(mode, &[&start[..], &["--touch-signal", &touch]].concat());
        std::fs::write(&file, "touched").unwrap();
        server.log.line("heard 17 in 1");
        server.log.line("heard 17 in 2");
    });
}

#[test]
fn a_reloaded_server_says_so() {
    let server = Server::http(Mode::ANY, "evaluates", &["--master"]);
    server.signal(libc::SIGHUP);
    eventually("the successor answers", || {
        value(&mut server.connect(), "uwsgi.is_a_reload") == json!(true)
    });
}

#[test]
fn agents_start_without_a_warning() {
    let folder = tools::venv_of_agents();
    let venv = folder.display().to_string();
    for_each_mode(|mode| {
        if mode.io == "epoll" || (mode.isolation == "interpreter" && python_minor() < 13) {
            return;
        }
        for agent in ["newrelic", "ddtrace", "sentry_sdk", "prometheus_client"] {
            if !tools::is_installed(&folder, agent) {
                continue;
            }
            for more in [&[][..], &["--lazy-apps"]] {
                if agent == "ddtrace" && !mode.is_process() {
                    continue; // Its extension modules refuse interpreters.
                }
                let directory = scratch();
                let env = format!("AGENT={agent}");
                let shared = format!("PROMETHEUS_MULTIPROC_DIR={}", directory.path().display());
                let mut args = vec!["--home", &venv, "--env", &env, "--env", &shared];
                args.extend_from_slice(&["--processes", "2", "--master", "--enable-threads"]);
                args.extend_from_slice(more);
                let server = Server::http(mode, "with_agent", &args);
                for _ in 0..8 {
                    let answer = server.get("/").text().to_owned();
                    assert!(answer.contains(agent), "{answer}");
                }
                if agent == "prometheus_client" {
                    let files = std::fs::read_dir(directory.path()).unwrap();
                    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
                    // 0 is where the app was loaded before the fork.
                    let known = ["counter_0.db", "counter_1.db", "counter_2.db"];
                    assert!(
                        names.iter().all(|name| known.contains(&name.to_str().unwrap())),
                        "{names:?}"
                    );
                    let text = server.get("/metrics").text().to_owned();
                    assert!(text.contains("requests_total 9.0"), "{text}");
                }
                let log = server.log.text().to_lowercase();
                for word in ["warning", "important", "uwsgiconfig", "error", "traceback"] {
                    let said = log.lines().find(|line| {
                        line.contains(word) && !line.contains("running uwsgi as root")
                    });
                    assert_eq!(said, None, "{agent} {more:?}:\n{log}");
                }
            }
        }
    });
}
