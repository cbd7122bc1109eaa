//! Errands: what a few helper threads do for the shards because it may wait for the disk: files
//! are looked for and sent.
//!
//! A task that sends somebody on an errand sleeps until the report is here. Reports come by the
//! shard's doorbell, as workers' news do.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Shard;
use super::sendfile::Transfer;
use crate::files::{Outcome, Search};
use crate::handoff::Handoff;
use crate::shared::Mailbox;

const HELPERS: usize = 4;

/// What is to be done.
pub(super) enum Task {
    Send(Transfer),
    Search(Search),
}

/// What was done.
pub(super) enum Report {
    /// The transfer as it stands now, and why it stopped.
    Sent(Transfer, io::Result<()>),
    Searched(Outcome),
    /// The helper panicked.
    Lost,
}

impl Task {
    fn run(self) -> Report {
        match self {
            Task::Send(mut transfer) => {
                let result = transfer.send();
                Report::Sent(transfer, result)
            }
            Task::Search(search) => Report::Searched(search.run()),
        }
    }
}

/// Where reports come back to.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) reports: Mailbox<(usize, Report)>,
    pub(super) handoff: &'static Handoff,
    pub(super) shard: usize,
}

/// An errand that is being run.
pub(super) enum Errand {
    Running(Option<Waker>),
    Done(Report),
    /// Nobody waits for it any more. Its place is free when it has come back.
    Abandoned,
}

struct Job {
    key: usize,
    task: Task,
    desk: Desk,
}

/// Waits for one errand.
struct Waiting<'s> {
    shard: &'s Shard,
    key: usize,
    is_over: bool,
}

impl Future for Waiting<'_> {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        let mut errands = self.shard.errands.borrow_mut();
        match &mut errands[self.key] {
            Errand::Running(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => {
                let done = errands.remove(self.key);
                drop(errands);
                self.is_over = true;
                match done {
                    Errand::Done(report) => Poll::Ready(report),
                    _ => unreachable!("BUG: an errand that is waited for was abandoned"),
                }
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut errands = self.shard.errands.borrow_mut();
        match &errands[self.key] {
            Errand::Done(_) => drop(errands.remove(self.key)),
            _ => errands[self.key] = Errand::Abandoned,
        }
    }
}

impl Shard {
    /// Has `task` done by a helper and waits for the report.
    pub(super) async fn errand(&self, task: Task) -> Report {
        let key = self.errands.borrow_mut().insert(Errand::Running(None));
        let waiting = Waiting { shard: self, key, is_over: false };
        let job = Job { key, task, desk: self.desk.clone() };
        if let Err(refused) = helpers().send(job) {
            // No helper could be started: better a short wait here than no answer.
            run(refused.0);
        }
        waiting.await
    }

    /// Gathers the helpers' reports and wakes the tasks that wait for them.
    pub(super) fn gather_reports(&self) {
        for (key, report) in self.desk.reports.take() {
            let mut errands = self.errands.borrow_mut();
            match std::mem::replace(&mut errands[key], Errand::Done(report)) {
                Errand::Running(Some(waker)) => waker.wake(),
                Errand::Running(None) => {}
                _ => drop(errands.remove(key)),
            }
        }
    }
}

fn run(job: Job) {
    let Job { key, task, desk } = job;
    // Somebody waits for it, whatever happens.
    let report = catch_unwind(AssertUnwindSafe(|| task.run())).unwrap_or(Report::Lost);
    desk.reports.put((key, report));
    desk.handoff.ring(desk.shard);
}

/// The helpers, started at the first errand.
fn helpers() -> &'static Sender<Job> {
    static HELPERS_SENDER: OnceLock<Sender<Job>> = OnceLock::new();
    HELPERS_SENDER.get_or_init(|| {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 1..=HELPERS {
            let receiver = Arc::clone(&receiver);
            let life = move || {
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) => run(job),
                        Err(_) => return,
                    }
                }
            };
            let builder = std::thread::Builder::new().name(format!("uwring file {index}"));
            let _ = builder.spawn(life);
        }
        sender
    })
}
