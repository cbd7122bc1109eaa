//! Bugs of uwring that were found once, each with the request that showed it. New ones go here.

use crate::harness::{Server, for_each_mode};

#[test]
fn a_piece_after_write_is_not_cut_to_its_own_length() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("GET /writes HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().text(), "one two three");
    });
}

#[test]
fn a_status_204_carries_no_length_of_the_app() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/status/204?length");
        assert_eq!(response.field("content-length"), None);
    });
}
