//! A slot's state word: `generation 32 | worker incarnation 24 | stage 8`.
//!
//! One compare-and-swap on it both takes a request and records who took it, so a worker can die
//! anywhere without leaving a request that nobody owns.

/// Free, or being filled by its shard.
pub(super) const IDLE: u8 = 0;
/// In the claim ring, for any worker to take.
pub(super) const QUEUED: u8 = 1;
/// Taken by the incarnation in the word.
pub(super) const RUNNING: u8 = 2;
/// Answered completely.
pub(super) const DONE: u8 = 3;
/// Its worker died first.
pub(super) const FAILED: u8 = 4;
/// Runs beyond its limit: the incarnation in the word still has it, but nobody waits for the
/// answer.
pub(super) const LATE: u8 = 5;
/// It was late, and its worker has let go of it or died.
pub(super) const ENDED: u8 = 6;

pub(super) fn word(generation: u32, incarnation: u32, stage: u8) -> u64 {
    debug_assert!(incarnation < 1 << 24, "BUG: incarnations are 24 bits");
    u64::from(generation) << 32 | u64::from(incarnation) << 8 | u64::from(stage)
}

pub(super) fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

pub(super) fn incarnation(word: u64) -> u32 {
    (word >> 8) as u32 & 0xff_ffff
}

pub(super) fn stage(word: u64) -> u8 {
    word as u8
}

/// A cell of the claim ring: which slot, at which generation.
pub(super) fn cell(generation: u32, slot: usize) -> u64 {
    u64::from(generation) << 32 | slot as u64
}

pub(super) fn cell_slot(cell: u64) -> usize {
    cell as u32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_its_parts() {
        let word = word(0xfedc_ba98, 0x12_3456, DONE);
        assert_eq!(generation(word), 0xfedc_ba98);
        assert_eq!(incarnation(word), 0x12_3456);
        assert_eq!(stage(word), DONE);
    }

    #[test]
    fn a_cell_gives_back_its_parts() {
        let cell = cell(u32::MAX, 1023);
        assert_eq!(generation(cell), u32::MAX);
        assert_eq!(cell_slot(cell), 1023);
    }
}
