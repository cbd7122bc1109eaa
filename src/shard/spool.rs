//! Gathers a body before dispatch: into memory up to a window, or, with `post-buffering`, into a
//! file.

use std::future::Future;
use std::path::Path;
use std::rc::Rc;

use tempfile::NamedTempFile;

use super::body::{Lost, Receiving, Rest};
use super::connection::Connection;
use super::exchange::GATHER_BYTES_MAX;
use super::stream::Received;
use crate::request::Request;

/// A body in a file. The worker opens it by its path; it is removed with this value, or when the
/// worker is done.
pub(super) struct Spool {
    file: NamedTempFile,
    len: u64,
}

impl Spool {
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

/// Gathers the body of `request`. With `post-buffering` the app does not run before all of it is
/// here; without, it runs when the body is whole or a window of it is in `body`.
pub(super) async fn gather<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
    rest: &mut Rest,
    body: &mut Vec<u8>,
) -> Result<Option<Spool>, Lost> {
    let shard = Rc::clone(&connection.shard);
    let in_memory = match shard.post_buffering {
        // uWSGI: bodies of at least so many bytes go to the disk.
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX).min(GATHER_BYTES_MAX),
        None => GATHER_BYTES_MAX,
    };
    let mut receiving = Receiving {
        shard: &shard,
        reader: &mut connection.reader,
        fd: connection.fd,
        watch: &connection.watch,
        watches: true,
    };
    let invite = request.expects_continue.then_some(&mut connection.writer);
    receiving.gather(rest, request.head_len, in_memory, body, invite).await?;
    if shard.post_buffering.is_none() || (rest.is_done() && body.len() < in_memory) {
        return Ok(None);
    }
    spool(&mut receiving, request.head_len, rest, body).await.map(Some)
}

async fn spool<F: Future<Output = Received>>(
    receiving: &mut Receiving<'_, F>,
    head_len: usize,
    rest: &mut Rest,
    body: &mut Vec<u8>,
) -> Result<Spool, Lost> {
    let failed = |error: std::io::Error| {
        crate::log::line(format_args!("post-buffering: {error}: the request is refused"));
        Lost::Gone
    };
    let file = NamedTempFile::with_prefix("uwring-body-").map_err(failed)?;
    let writer = monoio::fs::File::from_std(file.reopen().map_err(failed)?).map_err(failed)?;
    let mut len = 0;
    loop {
        let piece = std::mem::take(body);
        let count = piece.len() as u64;
        let (result, piece) = writer.write_all_at(piece, len).await;
        result.map_err(failed)?;
        len += count;
        *body = piece;
        body.clear();
        if rest.is_done() {
            return Ok(Spool { file, len });
        }
        receiving.gather(rest, head_len, GATHER_BYTES_MAX, body, None).await?;
    }
}
