//! Really starts nginx on loopback, with a configuration of `tests/nginx/`.

use std::net::TcpListener;
use std::process::Command;

use super::process::Process;
use super::{Client, tests_path, tools};

pub struct Nginx {
    process: Process,
    pub address: String,
    directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts nginx with `tests/nginx/NAME.conf`, in which `{listen}`, `{directory}` and the names
    /// of `places` are replaced. None if nginx is waived.
    pub fn start(name: &str, places: &[(&str, &str)]) -> Option<Nginx> {
        let program = tools::program("nginx")?;
        let directory = super::scratch();
        // nginx cannot say which port it was given: one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let conf = std::fs::read_to_string(tests_path("nginx").join(name).with_extension("conf"));
        let mut conf = conf.unwrap().replace("{listen}", &address);
        conf = conf.replace("{directory}", &directory.path().display().to_string());
        for (place, value) in places {
            conf = conf.replace(&format!("{{{place}}}"), value);
        }
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, conf).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file);
        let mut process = Process::start(command);
        super::eventually("nginx listens", || {
            let log = process.log.text();
            assert!(!process.has_ended(), "nginx: {log}");
            std::net::TcpStream::connect(&address).is_ok()
        });
        Some(Nginx { process, address, directory })
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    pub fn get(&self, path: &str) -> super::Response {
        self.connect().get(path)
    }

    /// What nginx complained of.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("nginx's log:\n{}", self.errors());
        } else {
            self.process.stop(libc::SIGTERM);
        }
    }
}
