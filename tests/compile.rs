//! Misuse of the fence (`src/python/`) does not compile. The reasons stand beside the cases, in
//! `tests/compile/*.stderr`; TRYBUILD=overwrite writes them anew.

#[test]
fn misuse_of_the_fence_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile/right_use.rs");
    cases.compile_fail("tests/compile/object_outlives_attach.rs");
    cases.compile_fail("tests/compile/py_outlives_attach.rs");
    cases.compile_fail("tests/compile/py_to_another_thread.rs");
    cases.compile_fail("tests/compile/object_to_another_thread.rs");
    cases.compile_fail("tests/compile/kept_without_py.rs");
    cases.compile_fail("tests/compile/object_used_while_detached.rs");
    cases.compile_fail("tests/compile/kept_view_outlives_attach.rs");
    cases.compile_fail("tests/compile/thread_to_another_thread.rs");
}
