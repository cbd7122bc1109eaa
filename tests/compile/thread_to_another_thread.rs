use uwring::python::Thread;

fn share(thread: Thread) {
    std::thread::spawn(move || thread.attach(|py| py.none().is_none()));
}

fn main() {
    let _ = share;
}
