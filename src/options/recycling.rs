//! What was asked for about requests that take too long, workers that are replaced, and workers
//! that come and go.

/// Beyond the plain limits in `Options`.
#[derive(Debug, Clone, Default)]
pub struct Recycling {
    /// Seconds between the graceful signal of a harakiri and the end.
    pub harakiri_graceful_timeout: Option<u64>,
    /// `None` means SIGTERM.
    pub harakiri_graceful_signal: Option<i32>,
    /// More requests than this must wait before a harakiri.
    pub harakiri_queue_threshold: Option<u64>,
    /// Seconds added to the lifetime for each worker beyond the first.
    pub max_worker_lifetime_delta: u64,
    /// MiB beyond which a worker is killed, whatever it does.
    pub evil_reload_on_rss: Option<u64>,
    pub evil_reload_on_as: Option<u64>,
    /// MiB of address space that a worker process may have.
    pub limit_as: Option<u64>,
    /// Seconds after which a start counts as hung.
    pub start_timeout: Option<u64>,
    pub on_exception: OnException,
}

/// After which exceptions a worker is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnException {
    pub any: bool,
    /// Names of classes.
    pub types: Vec<String>,
    /// What `str()` gives.
    pub values: Vec<String>,
    /// What `repr()` gives.
    pub reprs: Vec<String>,
}

/// How the number of workers follows the load, beyond `Options::cheaper`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cheaper {
    pub algorithm: Algorithm,
    /// No worker before the first request.
    pub at_first: bool,
    /// Workers at the start.
    pub initial: Option<usize>,
    /// Workers that are started at a time.
    pub step: usize,
    /// Seconds; `backlog`: requests.
    pub overload: u64,
    /// `spare2`: seconds before an idle worker ends.
    pub idle: u64,
    /// `busyness`: per cent.
    pub busyness_min: u64,
    pub busyness_max: u64,
    /// `busyness`: idle cycles before a worker ends.
    pub busyness_multiplier: u64,
    /// `busyness`: waiting requests that start workers at once, and how many workers.
    pub backlog_alert: u64,
    pub backlog_step: usize,
    /// Bytes of resident memory of all workers beyond which none is added, and one is ended.
    pub rss_soft: Option<u64>,
    pub rss_hard: Option<u64>,
    pub verbose: bool,
}

/// Who counts the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Spare,
    Spare2,
    Backlog,
    Busyness,
    /// The operator, through the MasterFIFO.
    Manual,
}

impl Algorithm {
    /// What they are called. uWSGI: a name that is not known is the first one.
    pub(super) const NAMES: [(&str, Algorithm); 6] = [
        ("spare", Algorithm::Spare),
        ("spare2", Algorithm::Spare2),
        ("backlog", Algorithm::Backlog),
        ("backlog2", Algorithm::Backlog),
        ("busyness", Algorithm::Busyness),
        ("manual", Algorithm::Manual),
    ];
}

impl Default for Cheaper {
    fn default() -> Cheaper {
        Cheaper {
            algorithm: Algorithm::Spare,
            at_first: false,
            initial: None,
            step: 1,
            overload: 3,
            idle: 10,
            busyness_min: 25,
            busyness_max: 50,
            busyness_multiplier: 10,
            backlog_alert: 33,
            backlog_step: 1,
            rss_soft: None,
            rss_hard: None,
            verbose: false,
        }
    }
}
