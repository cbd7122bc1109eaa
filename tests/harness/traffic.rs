//! Steady load whose every failure is counted: what a reload or a crash must not be noticed by.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::client::Client;

/// What came of the load.
#[derive(Debug, Default)]
pub struct Outcome {
    pub requests: u64,
    /// Kept connections that the server ended.
    pub closes: u64,
    /// What went wrong, and where.
    pub failures: Vec<String>,
}

/// Clients that ask until they are told to stop.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    closes: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Counts {
    fn failed(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }
}

impl Traffic {
    /// Starts clients of `path` at each address: two that ask all the time on one connection, two
    /// that pause between requests, one that connects anew for each.
    pub fn start(addresses: &[&str], path: &'static str) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let mut threads = Vec::new();
        for address in addresses {
            for pause in [0, 0, 150, 400] {
                let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
                let address = (*address).to_owned();
                threads.push(std::thread::spawn(move || {
                    keep(&address, path, Duration::from_millis(pause), &stop, &counts);
                }));
            }
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            let address = (*address).to_owned();
            threads.push(std::thread::spawn(move || renew(&address, path, &stop, &counts)));
        }
        Traffic { stop, counts, threads }
    }

    /// Requests that were answered so far.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Relaxed)
    }

    /// Ends the load.
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let failures = std::mem::take(&mut *self.counts.failures.lock().unwrap());
        let (requests, closes) = (&self.counts.requests, &self.counts.closes);
        Outcome { requests: requests.load(Relaxed), closes: closes.load(Relaxed), failures }
    }
}

/// One request on `client`; true if the connection stays.
fn ask(client: &mut Client, path: &str, connection: &str) -> Result<bool, String> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: {connection}\r\n\r\n");
    client.try_send(request.as_bytes()).map_err(|error: io::Error| format!("send: {error}"))?;
    let response = client.try_response().map_err(|broken| format!("{broken:?}"))?;
    match response.status {
        200 => Ok(!response.closes()),
        status => Err(format!("{status}: {}", String::from_utf8_lossy(&response.body))),
    }
}

fn keep(address: &str, path: &str, pause: Duration, stop: &AtomicBool, counts: &Counts) {
    let mut client = Client::connect(address);
    while !stop.load(Relaxed) {
        match ask(&mut client, path, "keep-alive") {
            Ok(stays) => {
                counts.requests.fetch_add(1, Relaxed);
                if !stays {
                    counts.closes.fetch_add(1, Relaxed);
                    client = Client::connect(address);
                }
            }
            Err(what) => {
                counts.failed(format!("{address}, kept (pause {pause:?}): {what}"));
                client = Client::connect(address);
            }
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

fn renew(address: &str, path: &str, stop: &AtomicBool, counts: &Counts) {
    while !stop.load(Relaxed) {
        match ask(&mut Client::connect(address), path, "close") {
            Ok(_) => {
                counts.requests.fetch_add(1, Relaxed);
            }
            Err(what) => counts.failed(format!("{address}, new: {what}")),
        }
    }
}
