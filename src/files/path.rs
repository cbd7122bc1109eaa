//! Which paths may be looked for on the disk at all.

/// Linux takes no longer ones.
const PATH_BYTES_MAX: usize = 4096;

/// Whether a decoded path names a file below its root, as far as its text tells: no NUL, and no
/// step upwards. Links are another matter (`search.rs`).
pub(super) fn is_safe(path: &[u8]) -> bool {
    path.len() < PATH_BYTES_MAX
        && !path.contains(&0)
        && path.split(|&byte| byte == b'/').all(|step| step != b"..")
}

/// What is looked for below a root: not an absolute path, which would leave it.
pub(super) fn below(rest: &[u8]) -> &[u8] {
    let start = rest.iter().position(|&byte| byte != b'/').unwrap_or(rest.len());
    &rest[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_upwards_or_a_nul_is_not_looked_for() {
        for path in ["/a/../b", "/..", "..", "/static../x/..", "a/..", "/a/\0", "../"] {
            assert!(!is_safe(path.as_bytes()), "{path:?}");
        }
        for path in ["", "/", "/a..b/..c/d..", "/a/./b", "//a//b", "/...", "/a\\..\\b", "/\u{e9}"] {
            assert!(is_safe(path.as_bytes()), "{path:?}");
        }
        assert!(!is_safe(&[b'a'; 4096]));
    }

    #[test]
    fn what_is_looked_for_is_never_absolute() {
        assert_eq!(below(b"//etc/passwd"), b"etc/passwd");
        assert_eq!(below(b"a/b/"), b"a/b/");
        assert_eq!(below(b"/"), b"");
    }

    proptest::proptest! {
        #[test]
        fn a_safe_path_stays_below_its_root(path: Vec<u8>) {
            use std::os::unix::ffi::OsStrExt;
            if is_safe(&path) {
                let joined = std::path::Path::new("/root").join(std::ffi::OsStr::from_bytes(below(&path)));
                let up = |step: std::path::Component<'_>| step == std::path::Component::ParentDir;
                assert!(joined.starts_with("/root") && !joined.components().any(up));
            }
        }
    }
}
