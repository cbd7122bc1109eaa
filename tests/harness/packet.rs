//! uwsgi packets.

use uwring::proto::uwsgi;

use super::{Client, Response, Server};

/// The vars that nginx's uwsgi_params send for a plain request.
pub fn vars<'v>(
    method: &'v str,
    target: &'v str,
    more: &[(&'v str, &'v str)],
) -> Vec<(&'v str, &'v str)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut vars = vec![
        ("QUERY_STRING", query),
        ("REQUEST_METHOD", method),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("REQUEST_URI", target),
        ("PATH_INFO", path),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", "40000"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "a.example"),
        ("HTTP_HOST", "a.example"),
    ];
    vars.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    vars.extend_from_slice(more);
    vars
}

/// A packet of these vars.
pub fn packet(modifier1: u8, vars: &[(&str, &str)]) -> Vec<u8> {
    uwsgi::encode(vars, modifier1)
}

/// Sends `bytes` to the server's uwsgi socket (its second address) and reads the response.
pub fn ask(server: &Server, bytes: &[u8]) -> Response {
    let mut client = connect(server);
    client.send(bytes);
    client.response()
}

pub fn connect(server: &Server) -> Client {
    Client::connect(&server.addresses[1])
}

/// Asks for `target` over the uwsgi protocol.
pub fn get(server: &Server, target: &str) -> Response {
    ask(server, &packet(0, &vars("GET", target, &[])))
}
