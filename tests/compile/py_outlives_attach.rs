use uwring::python::Thread;

fn leak(thread: &Thread) {
    let mut stolen = None;
    thread.attach(|py| stolen = Some(py));
    drop(stolen);
}

fn main() {
    let _ = leak;
}
