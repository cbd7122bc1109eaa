//! Connections that are idle for so long that only their descriptor is left.

use std::time::{Duration, Instant};

use crate::harness::{Client, Mode, Server, eventually, for_each_mode, memory_kib};

fn counted(server: &Server, name: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard[name].as_u64().unwrap()).sum()
}

/// Parked ones are open too.
fn open(server: &Server) -> u64 {
    counted(server, "connections")
}

fn start(mode: Mode, more: &[&str]) -> Server {
    let always = ["--stats", "127.0.0.1:0", "--disable-logging", "--master"];
    Server::http(mode, "all_by_path", &[&always[..], more].concat())
}

fn idle(server: &Server, clients: u64) {
    eventually("they are parked", || counted(server, "parked") == clients);
    assert_eq!(open(server), clients);
}

/// KiB of the first server process.
fn memory(server: &Server) -> u64 {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let children = std::fs::read_to_string(path).unwrap();
    memory_kib(children.split_ascii_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn a_parked_connection_is_served_and_closed_as_any_other() {
    for_each_mode(|mode| {
        let server = start(mode, &["--http-keepalive=9", "--no-defer-accept"]);
        let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
        // The last has never asked for anything.
        for client in &mut clients[..5] {
            assert_eq!(client.get("/hello").text(), "hello");
        }
        idle(&server, 6);
        assert_eq!(clients[0].get("/describe").json()["environ"]["REMOTE_ADDR"], "127.0.0.1");
        assert_eq!(clients[0].get("/hello").text(), "hello", "and goes on");
        // In pieces, as slow clients send.
        clients[1].send("GET /hello HTTP/1.1\r\n");
        eventually("it is awake", || open(&server) == 6);
        clients[1].send("Host: a\r\n\r\n");
        assert_eq!(clients[1].response().text(), "hello");
        drop(clients.remove(2));
        eventually("one has left", || open(&server) == 5);
        assert_eq!(clients[2].get("/hello").text(), "hello");
        eventually("the time of one is up", || open(&server) == 4);
        clients[3].assert_closed();
        clients[4].assert_open();
        assert_eq!(clients[2].get("/hello").text(), "hello");
    });
}

#[test]
fn a_parked_connection_moves_at_a_reload_and_a_stop_closes_it() {
    for_each_mode(|mode| {
        let mut server = start(mode, &[]);
        let mut client = server.connect();
        assert_eq!(client.get("/hello").text(), "hello");
        idle(&server, 1);
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        assert_eq!(client.get("/hello").text(), "hello");
        idle(&server, 1);
        let begin = Instant::now();
        assert_eq!(server.stop(libc::SIGTERM), 0);
        assert!(begin.elapsed() < Duration::from_secs(10), "it waits for nobody");
        client.assert_closed();
    });
}

#[test]
fn a_parked_connection_keeps_what_a_balancer_said_of_it() {
    for_each_mode(|mode| {
        let server = start(mode, &["--http-enable-proxy-protocol"]);
        let mut client = server.connect();
        client.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n");
        let address = |client: &mut Client| {
            let environ = client.get("/describe").json()["environ"].clone();
            (environ["REMOTE_ADDR"].clone(), environ["REMOTE_PORT"].clone())
        };
        let first = address(&mut client);
        assert_eq!(first, ("192.0.2.7".into(), "4711".into()));
        idle(&server, 1);
        assert_eq!(address(&mut client), first);
    });
}

#[test]
fn many_idle_connections_take_little_memory() {
    for_each_mode(|mode| {
        let server = start(mode, &[]);
        let before = memory(&server);
        let mut clients: Vec<_> = (0..600).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/hello").text(), "hello");
        }
        eventually("less than 1.5 KiB each", || memory(&server) < before + 900);
        assert_eq!(open(&server), 600);
        let mut last = clients.pop().unwrap();
        assert_eq!(last.get("/hello").text(), "hello");
    });
}
