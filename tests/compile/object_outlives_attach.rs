use uwring::python::Thread;

fn leak(thread: &Thread) -> Option<i64> {
    let object = thread.attach(|py| py.int(1));
    object.as_int()
}

fn main() {
    let _ = leak;
}
