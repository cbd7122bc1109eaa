fn main() {
    if std::env::var_os("CARGO_FEATURE_SERVER").is_some() {
        pyo3_build_config::use_pyo3_cfgs();
        pyo3_build_config::add_libpython_rpath_link_args();
        let python = pyo3_build_config::get();
        println!("cargo::rustc-env=UWRING_PYTHON_MINOR={}", python.version().minor);
        if let Some(executable) = python.executable() {
            println!("cargo::rustc-env=UWRING_BASE_PYTHON={executable}");
        }
    }
}
