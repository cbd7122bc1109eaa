use uwring::python::Kept;

fn look(kept: &Kept) -> Option<i64> {
    kept.get().as_int()
}

fn main() {
    let _ = look;
}
