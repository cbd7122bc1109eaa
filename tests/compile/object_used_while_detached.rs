use uwring::python::{Object, Py};

fn use_without_the_lock(py: Py<'_>, object: &Object<'_>) {
    py.detach(|| drop(object.clone()));
}

fn main() {}
