use uwring::python::Thread;

fn share(thread: &Thread) {
    thread.attach(|py| {
        std::thread::scope(|scope| {
            scope.spawn(move || py.none().is_none());
        });
    });
}

fn main() {
    let _ = share;
}
