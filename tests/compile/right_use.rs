// What the other cases break: objects stay inside attach, a Kept goes in and out.
use uwring::python::{Kept, Thread};

fn keep(thread: &Thread) -> Kept {
    thread.attach(|py| py.int(1).keep())
}

fn look(thread: &Thread, kept: &Kept) -> Option<i64> {
    thread.attach(|py| kept.get(py).as_int())
}

fn elsewhere(thread: &Thread, kept: Kept) {
    let interpreter = thread.interpreter();
    std::thread::spawn(move || interpreter.enter().attach(|py| kept.get(py).is_none()));
}

fn main() {
    let _ = (keep, look, elsewhere);
}
