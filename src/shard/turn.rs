//! The shard's own tasks: the turn's batch, the doorbell, the millisecond tick, the second's sweep.

use std::rc::Rc;
use std::time::Duration;

use monoio::net::UnixStream;

use super::listener::{Accepting, LastLook};
use super::signal::Signal;
use super::timer::Timer;
use super::{Message, Shard};
use crate::shared::{Mailbox, rescue, shard as place};

/// Turns after which the app's pace is looked at: with a slow app the shard has as many turns as
/// answers until it knows of that. And so many after which slots are gathered whose clients are
/// silent: others need not be used then, whose memory is cold.
const PACE_TURNS: u64 = 16;

/// Runs after the connection tasks of a turn: wakes workers once for all that they submitted, and
/// gathers answers that came meanwhile, which saves their doorbell.
pub(super) async fn turns(shard: Rc<Shard>) {
    let mut news = Vec::new();
    loop {
        shard.turn.wait().await;
        let queued;
        {
            let mut queue = shard.queue.borrow_mut();
            queued = queue.flush();
            queue.drain(&mut news);
            while !queue.may_sleep() {
                queue.drain(&mut news);
            }
            if queue.may_need_help() {
                shard.ticking.raise();
            }
        }
        if shard.row.bump(place::TURNS, 1).is_multiple_of(PACE_TURNS) {
            shard.look_at_pace();
            shard.look_at_many_sent();
        }
        shard.deliver(&news);
        news.clear();
        let dropped = shard.lines.borrow_mut().flush();
        if dropped > 0 {
            shard.row.bump(place::LOG_DROPPED, dropped);
        }
        shard.look_at_delay();
        shard.coalesce(queued, &mut news).await;
    }
}

/// While requests wait for a worker, sees to it each millisecond that none waits too long.
pub(super) async fn ticks(shard: Rc<Shard>) {
    let Ok(timer) = Timer::new() else {
        return super::listener::log_and_end(&shard, "no descriptor is left for a timer");
    };
    loop {
        shard.ticking.wait().await;
        loop {
            timer.sleep(Duration::from_millis(1)).await;
            let mut queue = shard.queue.borrow_mut();
            queue.tick();
            if !queue.may_need_help() {
                break;
            }
        }
    }
}

/// Ends what has missed its deadline.
pub(super) async fn sweeps(shard: Rc<Shard>) {
    let Ok(timer) = Timer::new() else {
        return super::listener::log_and_end(&shard, "no descriptor is left for a timer");
    };
    loop {
        timer.sleep(Duration::from_millis(500)).await;
        shard.watches.sweep(shard.now_s());
        // A worker that is stopped between clearing our sleep flag and ringing leaves us deaf to
        // the others: news are looked for without a bell now and then.
        shard.turn.raise();
        shard.look_at_offered();
        shard.look_at_pace();
        shard.look_at_scheduling();
        shard.tell_core();
        shard.queue.borrow_mut().slim();
        shard.row.set(place::ACTIVE, shard.watches.active() as u64);
        if let Some(files) = &shard.files {
            files.sweep(shard.watches.now_s());
        }
        shard.row.set(place::PARKED, shard.parking.len() as u64);
        shard.look_at_idle();
        if shard.draining.get() && shard.is_empty() {
            shard.ended.raise();
        }
    }
}

/// The one task that waits for the doorbell: it hands out news and carries out messages.
pub(super) async fn bells(
    shard: Rc<Shard>,
    mailbox: Mailbox<Message>,
    done: Mailbox<Message>,
    accepting: Accepting,
) {
    // A descriptor of its own, since the stream closes it. An eventfd is no socket, but the stream
    // is only asked whether it is readable.
    let Ok(copy) = crate::sys::duplicate(shard.bell()) else {
        return super::listener::log_and_end(&shard, "no descriptor is left for the doorbell");
    };
    let stream = UnixStream::from_std(copy.into());
    let Ok(bell) = stream else {
        return super::listener::log_and_end(&shard, "the doorbell cannot be watched");
    };
    let mut accepting = Some(accepting);
    let mut news = Vec::new();
    loop {
        shard.queue.borrow_mut().drain(&mut news);
        shard.deliver(&news);
        news.clear();
        shard.gather_reports();
        for legacy in shard.legacies.take() {
            shard.adopt(legacy);
        }
        shard.settle();
        for message in mailbox.take() {
            act(&shard, message, &mut accepting, &mut news);
            done.put(message);
        }
        if let Some(heir) = rescue::way().filter(|_| !shard.has_heir()) {
            act(&shard, Message::Retire { heir }, &mut accepting, &mut news);
        }
        if !shard.queue.borrow().may_sleep() {
            continue;
        }
        // A failed wait (an interrupted turn) is only a reason to look around.
        let _ = bell.readable(false).await;
        shard.queue.borrow().woke_up();
        shard.row.bump(place::BELLS, 1);
    }
}

fn act(
    shard: &Rc<Shard>,
    message: Message,
    accepting: &mut Option<Accepting>,
    news: &mut Vec<usize>,
) {
    match message {
        Message::WorkerDied { worker, incarnation } => {
            shard.queue.borrow_mut().reclaim(worker, incarnation, news);
            shard.ticking.raise();
            shard.deliver(news);
            news.clear();
        }
        Message::Pause(paused) => shard.set_paused(paused),
        Message::GiveUp => {
            shard.gives_up.set(true);
            shard.news.iter().for_each(Signal::raise);
        }
        Message::Drain => {
            shard.set_paused(false);
            shard.draining.set(true);
            shard.settle_the_last();
            shard.heir.set(None);
            if let Some(accepting) = accepting.take() {
                accepting.stop(shard, LastLook::Serve);
            }
            shard.watches.end_idle();
            shard.end_parked();
            shard.look_at_offered();
            end_when_empty(shard);
        }
        Message::Retire { heir } => {
            shard.set_paused(false);
            // The last that come this way: later ones are passed on by the control thread.
            for legacy in shard.legacies.take() {
                shard.adopt(legacy);
            }
            shard.settle_the_last();
            shard.retire(heir);
            if let Some(accepting) = accepting.take() {
                accepting.stop(shard, LastLook::Leave);
            }
            shard.look_at_offered();
            end_when_empty(shard);
        }
    }
}

/// Ends the shard if nothing is open; the sweep looks again later.
fn end_when_empty(shard: &Rc<Shard>) {
    let shard = Rc::clone(shard);
    monoio::spawn(async move {
        // Accepts that were won just before the cancel come out in the next turns.
        super::timer::pause(Duration::from_millis(5)).await;
        if shard.is_empty() {
            shard.ended.raise();
        }
    });
}
