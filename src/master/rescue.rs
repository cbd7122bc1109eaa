//! Connections of a server process that crashed, until the next one serves.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::Master;
use super::children::{Child, Phase};
use crate::log;
use crate::shared::link::Legacy;

/// The connections that wait.
pub type Saved = VecDeque<Legacy>;

/// As many as the kernel allows are on their way: more go after so long.
pub const GIVE_AGAIN: Duration = Duration::from_millis(2);

impl Child {
    /// Moves what a crash has sent here to `saved`; returns how many.
    fn save_to(&mut self, saved: &mut Saved) -> usize {
        let before = saved.len();
        let mut buffer = Vec::new();
        while let Some(rescue) = &self.rescue {
            match Legacy::take(rescue, &mut buffer) {
                Ok(Some(legacy)) => saved.push_back(legacy),
                Ok(None) => break,
                // It has ended.
                Err(_) => self.rescue = None,
            }
        }
        saved.len() - before
    }
}

impl Master {
    /// Keeps the connections of a server process that crashed, and gives them to one that serves.
    pub(super) fn save_connections(&mut self) {
        for child in &mut self.children {
            let count = child.save_to(&mut self.saved);
            if count > 0 {
                child.has_crashed = true;
                log::line(format_args!("{count} connection(s) are kept for the next process"));
            }
        }
        let Some(heir) = self.heir_of_saved().map(Child::heir_fd) else { return };
        while let Some(Legacy { fd, listener, told, bytes }) = self.saved.front()
            && Legacy::give(heir, fd.as_raw_fd(), listener, *told, bytes).is_ok()
        {
            self.saved.pop_front();
        }
    }

    fn heir_of_saved(&self) -> Option<&Child> {
        self.children.iter().find(|child| child.phase == Phase::Serving && !child.has_crashed)
    }

    /// Whether connections are kept that somebody would take.
    pub(super) fn could_give_saved(&self) -> bool {
        !self.saved.is_empty() && self.heir_of_saved().is_some()
    }
}
