use uwring::python::Thread;

fn share(thread: &Thread) {
    thread.attach(|py| {
        let object = py.int(1);
        std::thread::scope(|scope| {
            scope.spawn(move || object.as_int());
        });
    });
}

fn main() {
    let _ = share;
}
