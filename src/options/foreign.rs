//! Names that uWSGI 2.0.31 has only where it was built with more than its usual parts: other
//! languages, other ways to store and speak. They are known, so that a file with one of them is no
//! file of variables; the command line takes no prefix for them.

use super::table::{Opt, ROW, Section, Status, Takes};

pub(super) static FOREIGN: &[Opt] = &[
    Opt {
        names: &[
            "ssl-session-timeout",
            "ssl-session-use-cache",
            "ssl-sessions-timeout",
            "ssl-sessions-use-cache",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Absent("TLS is the matter of nginx or another proxy."),
        help: "Keep TLS sessions.",
        ..ROW
    },
    Opt {
        names: &[
            "pypy-eval",
            "pypy-eval-post-fork",
            "pypy-exec",
            "pypy-exec-post-fork",
            "pypy-home",
            "pypy-ini-paste",
            "pypy-lib",
            "pypy-paste",
            "pypy-pp",
            "pypy-python-path",
            "pypy-pythonpath",
            "pypy-setup",
            "pypy-wsgi",
            "pypy-wsgi-file",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused(
            "Python is CPython here: write module, wsgi-file, pythonpath or home.",
        ),
        help: "Serve an app with PyPy.",
        ..ROW
    },
    Opt {
        names: &[
            "php-allowed-docroot",
            "php-allowed-ext",
            "php-allowed-script",
            "php-app-bypass",
            "php-app-qs",
            "php-config",
            "php-config-append",
            "php-constant",
            "php-docroot",
            "php-dump-config",
            "php-exec-after",
            "php-exec-before",
            "php-exec-begin",
            "php-exec-end",
            "php-fallback",
            "php-fallback-qs",
            "php-fallback2",
            "php-index",
            "php-ini",
            "php-ini-append",
            "php-sapi-name",
            "php-server-software",
            "php-set",
            "php-var",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve PHP.",
        ..ROW
    },
    Opt {
        names: &[
            "perl-arg",
            "perl-args",
            "perl-auto-reload",
            "perl-auto-reload-ignore",
            "perl-exec",
            "perl-exec-post-fork",
            "perl-local-lib",
            "perl-no-die-catch",
            "perl-no-plack",
            "perl-version",
            "plshell-oneshot",
            "psgi-enable-psgix-io",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve Perl.",
        ..ROW
    },
    Opt {
        names: &[
            "rb-gc-freq",
            "rb-lib",
            "rb-require",
            "rb-thread",
            "rb-threads",
            "rbshell-oneshot",
            "ruby-gc-freq",
            "ruby-lib",
            "ruby-require",
            "rvm-path",
            "shared-rb-require",
            "shared-rbrequire",
            "shared-require",
            "shared-ruby-require",
            "shared-rubyrequire",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve Ruby.",
        ..ROW
    },
    Opt {
        names: &["lua-gc-freq", "lua-load", "lua-shell"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve Lua.",
        ..ROW
    },
    Opt {
        names: &[
            "clojure-load",
            "jvm-class",
            "jvm-classpath",
            "jvm-main-class",
            "jvm-opt",
            "ring-app",
            "ring-load",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve Java, Jython or Clojure.",
        ..ROW
    },
    Opt {
        names: &["gccgo-args", "gccgo-load", "go-args", "go-load"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve Go.",
        ..ROW
    },
    Opt {
        names: &[
            "mono-app",
            "mono-assembly",
            "mono-config",
            "mono-exec",
            "mono-gc-freq",
            "mono-index",
            "mono-key",
            "mono-version",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only Python apps are served."),
        help: "Serve Mono.",
        ..ROW
    },
    Opt {
        names: &["dumbloop-code", "dumbloop-function", "dumbloop-modifier1"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Workers have threads: write threads or processes."),
        help: "Run workers by another loop.",
        ..ROW
    },
    Opt {
        names: &[
            "cgi-allowed-ext",
            "cgi-async-max-attempts",
            "cgi-buffer-size",
            "cgi-close-stdin-on-eof",
            "cgi-do-not-kill-on-error",
            "cgi-from-docroot",
            "cgi-helper",
            "cgi-index",
            "cgi-loadlib",
            "cgi-map-helper",
            "cgi-optimize",
            "cgi-optimized",
            "cgi-path-info",
            "cgi-safe",
            "cgi-timeout",
            "cgi-unset",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Let nginx or another server run CGI programs."),
        help: "Run CGI programs.",
        ..ROW
    },
    Opt {
        names: &[
            "webdav-add-collection-prop",
            "webdav-add-collection-prop-comp",
            "webdav-add-collection-prop-href",
            "webdav-add-object-prop",
            "webdav-add-object-prop-comp",
            "webdav-add-object-prop-href",
            "webdav-add-option",
            "webdav-add-prop",
            "webdav-add-prop-comp",
            "webdav-add-prop-href",
            "webdav-add-rtype-collection-prop",
            "webdav-add-rtype-object-prop",
            "webdav-add-rtype-prop",
            "webdav-class-directory",
            "webdav-css",
            "webdav-div",
            "webdav-javascript",
            "webdav-js",
            "webdav-lock-cache",
            "webdav-mount",
            "webdav-principal-base",
            "webdav-skip-prop",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Let nginx serve WebDAV."),
        help: "Serve WebDAV.",
        ..ROW
    },
    Opt {
        names: &["xslt-content-type", "xslt-docroot", "xslt-ext", "xslt-stylesheet", "xslt-var"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Let nginx or the app transform XML."),
        help: "Transform XML.",
        ..ROW
    },
    Opt {
        names: &["glusterfs-mount", "glusterfs-timeout", "rados-mount", "rados-timeout"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Mount the storage, and use static-map."),
        help: "Serve files of another storage.",
        ..ROW
    },
    Opt {
        names: &["geoip-city", "geoip-country", "geoip-use-disk"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Absent("Let nginx or the app look the address up."),
        help: "Look up where clients are.",
        ..ROW
    },
    Opt {
        names: &["ldap-schema", "ldap-schema-ldif"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Write the configuration into a file: ini, YAML, JSON or XML."),
        help: "Read the configuration from there.",
        ..ROW
    },
    Opt {
        names: &[
            "forkpty-router",
            "forkpty-router-cmd",
            "forkpty-router-command",
            "forkpty-urouter",
            "forkptyrouter-cheap",
            "forkptyrouter-cmd",
            "forkptyrouter-cols",
            "forkptyrouter-command",
            "forkptyrouter-events",
            "forkptyrouter-fallback",
            "forkptyrouter-harakiri",
            "forkptyrouter-processes",
            "forkptyrouter-rows",
            "forkptyrouter-ss",
            "forkptyrouter-stats",
            "forkptyrouter-stats-server",
            "forkptyrouter-timeout",
            "forkptyrouter-workers",
            "forkptyrouter-zerg",
            "pty-connect",
            "pty-exec",
            "pty-input",
            "pty-log",
            "pty-no-isig",
            "pty-socket",
            "pty-uconnect",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Look into the app with py-tracebacker or a debugger."),
        help: "Give a terminal to the app.",
        ..ROW
    },
    Opt {
        names: &[
            "tuntap-device",
            "tuntap-device-rule",
            "tuntap-router-firewall-in",
            "tuntap-router-firewall-out",
            "tuntap-router-route",
            "tuntap-router-stats",
            "tuntap-use-credentials",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Networks are the matter of the system."),
        help: "Route packets.",
        ..ROW
    },
    Opt {
        names: &["jail-attach", "jail-ip4", "jail-ip6", "jid-file"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("FreeBSD is not supported."),
        help: "Run in a jail.",
        ..ROW
    },
    Opt {
        names: &["zeromq-socket", "zmq-socket"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Only the uwsgi protocol and HTTP are spoken."),
        help: "Speak with Mongrel2.",
        ..ROW
    },
    Opt {
        names: &["log-zeromq"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Log to a file, a socket or a program: see logger."),
        help: "Log to ZeroMQ.",
        ..ROW
    },
    Opt {
        names: &[
            "cron-curl",
            "cron-curl-legion",
            "curl-cron",
            "curl-cron-legion",
            "legion-cron-curl",
            "legion-curl-cron",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Write a cron whose command is curl and the URL."),
        help: "Ask for a URL at times.",
        ..ROW
    },
    Opt {
        names: &["emperor-cap", "vassal-cap", "vassals-cap"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("One service for each app is systemd's matter."),
        help: "Run one server for each file of a directory.",
        ..ROW
    },
    Opt {
        names: &["pam-user"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Let systemd open a session: PAMName."),
        help: "Open a session.",
        ..ROW
    },
    Opt {
        names: &["zabbix-template"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("Read the stats: uwsgi_exporter and telegraf do."),
        help: "Print a template for Zabbix.",
        ..ROW
    },
    Opt {
        names: &["notfound-log"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Absent("The log has the requests with their status."),
        help: "Log what is not found.",
        ..ROW
    },
    // A usual uWSGI takes such a word for a variable, and so may the file's author.
    Opt {
        names: &[
            "cgi",
            "coroae",
            "forkptyurouter",
            "gemset",
            "goroutines",
            "jidfile",
            "jwsgi",
            "ldap",
            "libjail",
            "lua",
            "luashell",
            "mongrel2",
            "pam",
            "plshell",
            "rails",
            "rbrequire",
            "rbshell",
            "rbthread",
            "rbthreads",
            "require",
            "rubyrequire",
            "rvm",
            "sqlite",
            "sqlite3",
            "zeromq",
            "zmq",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Absent("A usual uWSGI has no such part: it is a variable there."),
        help: "Use a language, a storage or a protocol that is no part of a usual uWSGI.",
        ..ROW
    },
];

#[cfg(test)]
mod tests {
    use super::super::{parse, table};
    use super::*;

    #[test]
    fn each_is_one_name_of_one_row_and_says_why() {
        for (name, opt) in FOREIGN.iter().flat_map(|opt| opt.names.iter().map(move |n| (n, opt))) {
            assert!(table::names().all(|(other, _)| other != *name), "{name}");
            assert!(table::find(name).is_some_and(|(_, found)| std::ptr::eq(found, opt)), "{name}");
            let is_refused = matches!(opt.status, Status::Refused(_));
            assert!(!is_refused || name.contains('-'), "{name} may be somebody's variable");
            let (Status::Refused(why) | Status::Absent(why)) = opt.status else {
                panic!("{name}: {:?}", opt.status)
            };
            assert!(why.ends_with('.') && why.len() <= 90, "{name}: {why}");
        }
        let error = parse(&["--pypy-wsgi", "app"]).expect_err("it is of another Python");
        assert!(error.starts_with("argument 1: pypy-wsgi: Python is CPython here"), "{error}");
        assert_eq!(parse(&["--ssl-session-timeout=300"]).expect("it serves").warnings.len(), 1);
    }
}
