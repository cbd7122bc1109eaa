//! `wsgi.input`: the request body as a file that Python reads (PEP 3333, "Input and Error
//! Streams").

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use crate::handoff::{BodyEnd, Call, WINDOW_BYTES};
use crate::python::{Args, Exception, Function, Kind, Object, Py, Type};

/// Where the body's bytes come from.
enum Source {
    Empty,
    /// The slot's window, which the shard fills.
    Window(Call),
    /// A spooled file (`post-buffering`): seekable.
    File(Box<BufReader<File>>),
}

/// The Rust value behind `wsgi.input`.
pub struct Input {
    source: RefCell<Source>,
    position: RefCell<u64>,
}

impl Input {
    /// The input of a request without a body.
    pub fn empty() -> Input {
        Input { source: RefCell::new(Source::Empty), position: RefCell::new(0) }
    }

    /// The input of a running request.
    pub fn window(call: Call) -> Input {
        Input { source: RefCell::new(Source::Window(call)), position: RefCell::new(0) }
    }

    /// The input of a request whose body lies in a file.
    pub fn file(file: File) -> Input {
        let source = Source::File(Box::new(BufReader::new(file)));
        Input { source: RefCell::new(source), position: RefCell::new(0) }
    }

    /// The Python type whose instances hold an `Input`.
    ///
    /// # Errors
    /// What Python raised.
    pub fn class(py: Py<'_>) -> Result<Type<Input>, Exception> {
        let methods = vec![
            Type::method::<Read>(),
            Type::method::<ReadLine>(),
            Type::method::<ReadLines>(),
            Type::method::<Close>(),
            Type::method::<Tell>(),
            Type::method::<SeekTo>(),
        ];
        Type::new(py, c"uwring.Input", methods, Some(Type::next::<NextLine>()))
    }

    /// Reads up to `max` bytes, or up to and with the next line feed.
    fn take<'py>(
        &self,
        py: Py<'py>,
        max: usize,
        until_line: bool,
    ) -> Result<Object<'py>, Exception> {
        let mut gathered = Vec::new();
        loop {
            let step = self.step(py, max - gathered.len(), until_line, &mut gathered)?;
            match step {
                Step::Whole(bytes) => return Ok(bytes),
                Step::Ended => return Ok(py.bytes(&gathered, b"")),
                Step::More => {}
                Step::Wait(call, wanted) => py.detach(|| call.body_wait(wanted)),
            }
        }
    }

    fn step<'py>(
        &self,
        py: Py<'py>,
        room: usize,
        until_line: bool,
        gathered: &mut Vec<u8>,
    ) -> Result<Step<'py>, Exception> {
        let mut source = self.source.borrow_mut();
        if room == 0 {
            return Ok(Step::Ended);
        }
        let call = match &mut *source {
            Source::Empty => return Ok(Step::Ended),
            Source::File(file) => return self.step_file(file, room, until_line, gathered),
            Source::Window(call) => *call,
        };
        if !call.is_current() {
            return Err(Exception::new(Kind::Value, "wsgi.input: this request is over"));
        }
        // The end is asked for before the bytes: it is set after the last of them.
        let end = call.body_end();
        let (first, second) = call.body_parts(room);
        let available = first.len() + second.len();
        // A piece that fits the window is waited for as a whole, so that it is copied once.
        let wanted = if until_line { 1 } else { room.min(WINDOW_BYTES / 2) };
        if end.is_none() && available < wanted {
            return Ok(Step::Wait(call, wanted));
        }
        if available == 0 {
            return match end {
                None => Ok(Step::More),
                Some(BodyEnd::Complete) => Ok(Step::Ended),
                Some(BodyEnd::Aborted) => Err(self.broken("error")),
                Some(BodyEnd::TimedOut) => Err(self.broken("timeout")),
            };
        }
        let (first, second, line_ended) =
            if until_line { cut_line(first, second) } else { (first, second, false) };
        let taken = first.len() + second.len();
        let finished =
            line_ended || taken == room || (end == Some(BodyEnd::Complete) && taken == available);
        let whole = (finished && gathered.is_empty()).then(|| py.bytes(first, second));
        if whole.is_none() {
            gathered.extend_from_slice(first);
            gathered.extend_from_slice(second);
        }
        call.body_consume(taken);
        *self.position.borrow_mut() += taken as u64;
        Ok(match whole {
            Some(bytes) => Step::Whole(bytes),
            None if finished => Step::Ended,
            None => Step::More,
        })
    }

    fn step_file<'py>(
        &self,
        file: &mut BufReader<File>,
        room: usize,
        until_line: bool,
        gathered: &mut Vec<u8>,
    ) -> Result<Step<'py>, Exception> {
        let available = file.fill_buf().map_err(os_error)?;
        if available.is_empty() {
            return Ok(Step::Ended);
        }
        let available = &available[..available.len().min(room)];
        let (line, _, line_ended) =
            if until_line { cut_line(available, b"") } else { (available, &b""[..], false) };
        let taken = line.len();
        gathered.extend_from_slice(line);
        file.consume(taken);
        *self.position.borrow_mut() += taken as u64;
        Ok(if line_ended { Step::Ended } else { Step::More })
    }

    /// uWSGI's error for a body that does not come.
    fn broken(&self, what: &str) -> Exception {
        let consumed = *self.position.borrow();
        let message = format!("{what} during read({consumed}) on wsgi.input");
        Exception::new(Kind::Os, message)
    }
}

enum Step<'py> {
    /// All that was asked for, in one piece.
    Whole(Object<'py>),
    /// What was gathered is all.
    Ended,
    More,
    /// For so many bytes.
    Wait(Call, usize),
}

fn os_error(error: std::io::Error) -> Exception {
    Exception::new(Kind::Os, format!("wsgi.input: {error}"))
}

/// The pieces up to and with the first line feed, and whether there is one.
fn cut_line<'b>(first: &'b [u8], second: &'b [u8]) -> (&'b [u8], &'b [u8], bool) {
    let line_end = |bytes: &[u8]| bytes.iter().position(|&b| b == b'\n').map(|at| at + 1);
    if let Some(end) = line_end(first) {
        return (&first[..end], &[], true);
    }
    if let Some(end) = line_end(second) {
        return (first, &second[..end], true);
    }
    (first, second, false)
}

/// A size argument: absent, None and negative mean "all".
fn size(argument: Option<&Object<'_>>) -> Result<usize, Exception> {
    let Some(argument) = argument.filter(|argument| !argument.is_none()) else {
        return Ok(usize::MAX);
    };
    let Some(size) = argument.as_int() else {
        let message = format!("an integer is required, not {}", argument.type_name());
        return Err(Exception::new(Kind::Type, message));
    };
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

struct Read;

impl Function for Read {
    type On = Input;
    const NAME: &'static CStr = c"read";
    const DOC: &'static CStr = c"read(size=-1): bytes, empty at the end";

    fn call<'py>(
        py: Py<'py>,
        this: &Input,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [max] = args.bind(["size"])?;
        this.take(py, size(max)?, false)
    }
}

struct ReadLine;

impl Function for ReadLine {
    type On = Input;
    const NAME: &'static CStr = c"readline";
    const DOC: &'static CStr = c"readline(size=-1): bytes up to and with the next line feed";

    fn call<'py>(
        py: Py<'py>,
        this: &Input,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [max] = args.bind(["size"])?;
        this.take(py, size(max)?, true)
    }
}

struct ReadLines;

impl Function for ReadLines {
    type On = Input;
    const NAME: &'static CStr = c"readlines";
    const DOC: &'static CStr = c"readlines(hint=-1): a list of lines, about `hint` bytes of them";

    fn call<'py>(
        py: Py<'py>,
        this: &Input,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [hint] = args.bind(["hint"])?;
        let hint = size(hint)?;
        let mut lines = Vec::new();
        let mut total = 0usize;
        while total < hint.max(1) {
            let line = this.take(py, usize::MAX, true)?;
            let len = line.as_bytes().map_or(0, <[u8]>::len);
            if len == 0 {
                break;
            }
            total = total.saturating_add(len);
            lines.push(line);
        }
        Ok(py.list(&lines))
    }
}

struct NextLine;

impl Function for NextLine {
    type On = Input;
    const NAME: &'static CStr = c"__next__";
    const DOC: &'static CStr = c"the next line";

    fn call<'py>(py: Py<'py>, this: &Input, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let line = this.take(py, usize::MAX, true)?;
        let is_end = line.as_bytes().is_none_or(<[u8]>::is_empty);
        Ok(if is_end { py.none() } else { line })
    }
}

struct Close;

impl Function for Close {
    type On = Input;
    const NAME: &'static CStr = c"close";
    const DOC: &'static CStr = c"does nothing: the server closes the request's input";

    fn call<'py>(py: Py<'py>, _: &Input, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.none())
    }
}

struct Tell;

impl Function for Tell {
    type On = Input;
    const NAME: &'static CStr = c"tell";
    const DOC: &'static CStr = c"bytes read so far";

    fn call<'py>(py: Py<'py>, this: &Input, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let position = *this.position.borrow();
        Ok(py.int(position as i64))
    }
}

struct SeekTo;

impl Function for SeekTo {
    type On = Input;
    const NAME: &'static CStr = c"seek";
    const DOC: &'static CStr = c"seek(offset, whence=0): only with post-buffering";

    fn call<'py>(
        py: Py<'py>,
        this: &Input,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [offset, whence] = args.bind(["offset", "whence"])?;
        let offset = offset.and_then(|offset| offset.as_int()).unwrap_or(0);
        let whence = whence.and_then(|whence| whence.as_int()).unwrap_or(0);
        let mut source = this.source.borrow_mut();
        let Source::File(file) = &mut *source else {
            // uWSGI: a body that is not buffered cannot be read twice.
            let message = "seeking wsgi.input without post-buffering is impossible";
            return Err(Exception::new(Kind::Os, message));
        };
        let to = match whence {
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => SeekFrom::Start(offset.max(0) as u64),
        };
        let position = file.seek(to).map_err(os_error)?;
        *this.position.borrow_mut() = position;
        Ok(py.int(position as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_end_in_either_piece() {
        assert_eq!(cut_line(b"ab\ncd", b"ef"), (&b"ab\n"[..], &b""[..], true));
        assert_eq!(cut_line(b"ab", b"c\nd"), (&b"ab"[..], &b"c\n"[..], true));
        assert_eq!(cut_line(b"ab", b"cd"), (&b"ab"[..], &b"cd"[..], false));
    }
}
