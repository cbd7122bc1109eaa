//! A configuration never brings the reader down, never takes long, and never fills the memory.
//! The first byte chooses the format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uwring::options::check::check_text;

const NAMES: [&str; 4] = ["app.ini", "app.yaml", "app.json", "app.xml"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let report = check_text(&text, NAMES[usize::from(*choice) % NAMES.len()]);
    // What it says can be shown to people and to programs.
    assert!(report.text().ends_with("start\n"));
    assert!(serde_json::from_str::<serde_json::Value>(&report.json()).is_ok());
});
