//! An open load: requests come at random moments, as those of many clients do that know nothing of
//! each other (a Poisson process), whether earlier ones are answered or not. One that finds no free
//! connection waits for it, and its latency counts from the moment at which it should have gone.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::Load;
use crate::connection::{Failure, PATIENCE};

/// Moments in time from the beginning of the load; the same ones in each run.
struct Moments {
    state: u64,
    mean_s: f64,
    next: Duration,
}

impl Moments {
    fn new(rate: f64) -> Self {
        let mut moments =
            Self { state: 0x9E37_79B9_7F4A_7C15, mean_s: 1.0 / rate, next: Duration::ZERO };
        moments.advance();
        moments
    }

    fn advance(&mut self) {
        // xorshift64* (Marsaglia, Vigna): its upper bits are even.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let share = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
        self.next += Duration::from_secs_f64(-share.ln() * self.mean_s);
    }
}

impl Load<'_> {
    /// Sends for `time`, waits for what is under way, and returns the seconds that were asked for.
    pub fn run_at(&mut self, rate: f64, time: Duration) -> f64 {
        let start = Instant::now();
        let mut moments = Moments::new(rate);
        let mut due = VecDeque::new();
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut busy = Vec::new();
        self.reader.hurry = false;
        loop {
            let now = start.elapsed();
            while moments.next <= now && moments.next < time {
                due.push_back(start + moments.next);
                moments.advance();
            }
            while !due.is_empty()
                && let Some(index) = free.pop_front()
            {
                match self.send(index) {
                    Ok(()) => busy.push(index),
                    Err(failure) => {
                        self.fail(index, failure);
                        free.push_back(index);
                    }
                }
                self.connections[index].sent_at = due.pop_front().unwrap_or(start);
            }
            let is_over = now >= time && due.is_empty() && busy.is_empty();
            if is_over || self.tally.errors > self.options.errors_max {
                return time.as_secs_f64();
            }
            if now >= time + PATIENCE {
                self.give_up(&mut busy, due.len());
                return time.as_secs_f64();
            }
            let until = if moments.next < time { moments.next } else { time + PATIENCE };
            for index in self.answering(&mut busy, until.saturating_sub(now)) {
                match self.receive(index) {
                    Ok(()) => self.tally.answered(self.connections[index].sent_at),
                    Err(failure) => self.fail(index, failure),
                }
                free.push_back(index);
            }
        }
    }

    /// Waits for one of these connections to be readable, and takes those that are out of them.
    fn answering(&self, busy: &mut Vec<usize>, most: Duration) -> Vec<usize> {
        let watched = |&index: &usize| libc::pollfd {
            fd: self.connections[index].number(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut watched: Vec<_> = busy.iter().map(watched).collect();
        let most = libc::timespec {
            tv_sec: most.as_secs() as libc::time_t,
            tv_nsec: most.subsec_nanos().into(),
        };
        // SAFETY: the array and the time live through the call, and its length is given.
        unsafe {
            libc::ppoll(
                watched.as_mut_ptr(),
                watched.len() as libc::nfds_t,
                &most,
                std::ptr::null(),
            )
        };
        let (ready, rest): (Vec<_>, Vec<_>) =
            busy.drain(..).zip(watched).partition(|(_, watched)| watched.revents != 0);
        busy.extend(rest.into_iter().map(|(index, _)| index));
        ready.into_iter().map(|(index, _)| index).collect()
    }

    fn give_up(&mut self, busy: &mut Vec<usize>, unsent: usize) {
        busy.drain(..).for_each(|index| self.fail(index, Failure::Hung));
        self.tally.hung += unsent as u64;
    }
}

/// Timers that fire when they are due, and not some 50 us later.
///
/// # Errors
/// The kernel's.
pub fn set_exact_timers() -> io::Result<()> {
    // SAFETY: a number is all that this takes.
    match unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
