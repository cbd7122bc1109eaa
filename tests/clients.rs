//! Clients that are slow, that leave, that send or take a lot, that are many.

use crate::harness::{Client, Mode, Server, for_each_mode};

#[test]
fn goes_on_when_clients_leave_in_the_middle_of_a_response() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for path in
            ["/large/50000000/100000", "/large/50000000/0", "/large/50000000/1000000?length"]
        {
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.peek().unwrap();
            client.reset();
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.peek().unwrap();
            drop(client);
            // There is one worker: that it answers says that it was freed.
            assert_eq!(server.get("/hello").text(), "hello", "{path}");
        }
    });
}

#[test]
fn goes_on_when_clients_leave_in_the_middle_of_a_request() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for sent in [0, 10, 300_000, 900_000] {
            for resets in [true, false] {
                let mut client = server.connect();
                client.send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
                client.send("x".repeat(sent));
                if resets { client.reset() } else { drop(client) }
            }
            assert_eq!(server.get("/hello").text(), "hello", "{sent}");
        }
    });
}

#[test]
fn serves_others_while_a_client_reads_nothing() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--processes", "2", "--shards", "1"]);
        let mut client = server.connect();
        client.send("GET /large/100000000/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.peek().unwrap();
        for _ in 0..20 {
            assert_eq!(server.get("/hello").text(), "hello");
        }
    });
}

#[test]
fn gives_up_on_a_client_that_reads_nothing() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--http-timeout", "1"]);
        let mut client = server.connect();
        client.send("GET /large/100000000/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.peek().unwrap();
        // The only worker is freed when the write's time is over.
        assert_eq!(server.get("/hello").text(), "hello");
        assert!(client.try_response().is_err(), "the response was cut");
    });
}

#[test]
fn takes_a_large_upload_and_sends_a_large_download() {
    let total: usize = if crate::harness::full() { 1 << 30 } else { 24 << 20 };
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        upload(&server, total);
        let before = memory(&server, mode);
        upload(&server, total);
        for path in [format!("/large/{total}/65536"), format!("/large/{total}/100?length")] {
            if path.ends_with("length") && total > 1 << 28 {
                continue; // Pieces of 100 bytes take minutes.
            }
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.head().unwrap();
            assert_eq!(head.status, 200);
            let mut got = 0;
            while got < total {
                got += client.read_some().len();
            }
        }
        let grown = memory(&server, mode).saturating_sub(before);
        assert!(grown < 12 << 20, "{mode}: {grown} bytes more for {total}");
    });
}

fn upload(server: &Server, total: usize) {
    let mut client = server.connect();
    client.send(format!("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n"));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..total >> 20 {
        client.send(&piece);
    }
    let response = client.response();
    assert!(response.text().starts_with(&format!("{total} ")), "{}", response.text());
}

/// Resident bytes of the server and of the process that runs the app.
fn memory(server: &Server, mode: Mode) -> usize {
    let resident = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let worker = if mode.is_process() { resident(server.worker_pid() as u32) } else { 0 };
    resident(server.pid()) + worker
}

#[test]
fn serves_beside_many_idle_connections() {
    let count = if crate::harness::full() { 1_000 } else { 200 };
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut idle: Vec<Client> = (0..count).map(|_| server.connect()).collect();
        idle.iter_mut().for_each(Client::assert_open);
        let mut busy = server.connect();
        for _ in 0..200 {
            busy.assert_open();
        }
        idle.iter_mut().rev().for_each(Client::assert_open);
    });
}
