//! The environment as a source: `UWSGI_FOO_BAR=v` is `foo-bar = v`, read before the command line.

use super::setting::{Origin, Read, Setting, World};
use super::{Environment, RELOADS, include};
use crate::error::StartError;

/// uWSGI sets these for its own children; they are no options.
const NOT_OPTIONS: [&str; 4] = ["VASSALS_DIR", "ORIGINAL_PROC_NAME", "JAIL_PID", "BROODLORD_NUM"];

/// The settings of all `UWSGI_*` variables, in the order of the environment.
pub(super) fn settings(env: &Environment, world: World) -> Result<Read<'_>, StartError> {
    let mut read = Read::new(env, world);
    for (variable, value) in env {
        let Some(variable) = variable.to_str() else { continue }; // No option has such a name.
        let Some(name) = variable.strip_prefix("UWSGI_") else { continue };
        let is_none = name.is_empty() || name.starts_with("EMPEROR_") || variable == RELOADS;
        if is_none || NOT_OPTIONS.contains(&name) {
            continue;
        }
        let Some(value) = value.to_str() else {
            let value = value.to_string_lossy();
            read.warnings.push(format!("{variable}: expected UTF-8, found \"{value}\": left out"));
            continue;
        };
        let setting = Setting {
            name: name.to_ascii_lowercase().replace('_', "-"),
            value: Some(value.to_owned()),
            origin: Origin::Environment(variable.to_owned()),
        };
        include::push(setting, &mut read)?;
    }
    include::end_block(&mut read);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, from_process};

    #[test]
    fn variables_are_options_and_the_command_line_wins() {
        let env: Environment = [
            ("UWSGI_PROCESSES", "4"),
            ("UWSGI_HTTP_SOCKET", ":8000"),
            ("UWSGI_THREADS", "2"),
            ("UWSGI_RELOADS", "1"),
            ("UWSGI_EMPEROR_FD", "9"),
            ("UWRING_THREADS", "soon"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let args = ["uwring", "--threads", "8"].map(Into::into).into();
        let options = from_process(args, &env).expect("all of it is right");
        assert_eq!((options.processes, options.threads, options.sockets.len()), (4, 8, 1));
        assert_eq!(options.settings.len(), 4);
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_left_out_and_said() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = std::ffi::OsString::from_vec(b"caf\xe9".to_vec());
        let env: Environment = vec![("UWSGI_MODULE".into(), bytes)];
        let options = from_process(vec!["uwring".into()], &env).expect("it serves");
        assert_eq!(
            options.warnings,
            ["UWSGI_MODULE: expected UTF-8, found \"caf\u{fffd}\": left out"]
        );
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        let env: Environment = vec![("UWSGI_HARAKIRI".into(), "soon".into())];
        let error = from_process(vec!["uwring".into()], &env).expect_err("soon is no number");
        assert_eq!(
            error.to_string(),
            "UWSGI_HARAKIRI: harakiri: expected a number of seconds, found \"soon\""
        );
    }
}
