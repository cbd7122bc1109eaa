use uwring::python::{Kept, Thread};

fn look(thread: &Thread, kept: &Kept) -> Option<i64> {
    let object = thread.attach(|py| kept.get(py));
    object.as_int()
}

fn main() {
    let _ = look;
}
