//! What a reload does not change, though the configuration that it reads does.

use crate::log;
use crate::options::Options;

/// Names the options that stay as they were until the server is started anew.
pub fn warn(before: &Options, now: &Options) {
    for name in changed(before, now) {
        log::line(format_args!(
            "warning: {name} has changed, and a reload does not change it: stop the server and \
             start it again"
        ));
    }
}

fn changed(before: &Options, now: &Options) -> Vec<&'static str> {
    let ids = |options: &Options| options.privileges.add_gids.clone();
    // The master is no longer root; where it is, the next server process takes them.
    let is_dropped = !now.privileges.master_as_root;
    let all = [
        ("uid", is_dropped && before.uid != now.uid),
        ("gid", is_dropped && before.gid != now.gid),
        ("add-gid", is_dropped && ids(before) != ids(now)),
        ("master-as-root", before.privileges.master_as_root != now.privileges.master_as_root),
        ("master-fifo", before.master_fifo != now.master_fifo),
        ("pidfile", before.pidfile != now.pidfile),
        ("pidfile2", before.pidfile2 != now.pidfile2),
        ("safe-pidfile", before.safe_pidfile != now.safe_pidfile),
        ("safe-pidfile2", before.safe_pidfile2 != now.safe_pidfile2),
        ("daemonize", before.daemonize != now.daemonize),
        ("daemonize2", before.daemonize2 != now.daemonize2),
    ];
    all.into_iter().filter_map(|(name, is_changed)| is_changed.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_stays_as_it_was() {
        let before = Options::default();
        assert!(changed(&before, &before).is_empty());
        let mut now = Options { uid: Some("www".into()), ..Options::default() };
        now.pidfile = Some("a.pid".into());
        assert_eq!(changed(&before, &now), ["uid", "pidfile"]);
        now.privileges.master_as_root = true;
        assert_eq!(changed(&before, &now), ["master-as-root", "pidfile"]);
    }
}
