// SPDX-License-Identifier: MPL-2.0
//! What became of the marks, and how late they left.

use std::collections::VecDeque;

/// Counts and the newest latenesses.
#[derive(Debug, Clone, Default)]
pub(super) struct Stats {
    /// Messages that were given to the system.
    pub(super) sent: u64,
    /// Of them, those whose event was made known after they should have left.
    pub(super) late: u64,
    /// Events that were not sent: no connection, a receiver that takes no more, far too late, flushed.
    pub(super) dropped: u64,
    /// Messages that single receivers of several missed.
    pub(super) missed: u64,
    /// Connections opened again after a loss.
    pub(super) reconnects: u64,
    /// Marks seen before.
    pub(super) duplicates: u64,
    announced: Newest,
    late_by: Newest,
}

impl Stats {
    /// A message left `lateness` ns after it should have; `late` if its event became known only then.
    pub(super) fn sent(&mut self, lateness: u64, late: bool) {
        self.sent += 1;
        if late {
            self.late += 1;
            self.late_by.push(lateness);
        } else {
            self.announced.push(lateness);
        }
    }

    pub(super) fn structure(&self, connected: bool, clients: usize) -> gst::Structure {
        gst::Structure::builder("stats")
            .field("sent", self.sent)
            .field("late", self.late)
            .field("dropped", self.dropped)
            .field("missed", self.missed)
            .field("duplicates", self.duplicates)
            .field("lateness-median", self.announced.quantile(0.5))
            .field("lateness-p95", self.announced.quantile(0.95))
            .field("late-median", self.late_by.quantile(0.5))
            .field("late-p95", self.late_by.quantile(0.95))
            .field("connected", connected)
            .field("clients", u32::try_from(clients).unwrap_or(u32::MAX))
            .field("reconnects", self.reconnects)
            .build()
    }
}

/// The newest values, in bounded memory.
#[derive(Debug, Clone, Default)]
struct Newest(VecDeque<u64>);

impl Newest {
    const LIMIT: usize = 4096;

    fn push(&mut self, value: u64) {
        if self.0.len() == Self::LIMIT {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The smallest value that at least a share `q` of all does not exceed; 0 if there are none.
    fn quantile(&self, q: f64) -> u64 {
        let mut values: Vec<_> = self.0.iter().copied().collect();
        let rank = (q * values.len() as f64).ceil() as usize;
        let Some(index) = rank.max(1).checked_sub(1).filter(|i| *i < values.len()) else {
            return 0;
        };
        *values.select_nth_unstable(index).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_newest() {
        let mut newest = Newest::default();
        assert_eq!(newest.quantile(0.95), 0);
        newest.push(7);
        assert_eq!((newest.quantile(0.5), newest.quantile(0.95)), (7, 7));
        (0..2 * Newest::LIMIT as u64).for_each(|v| newest.push(v));
        assert_eq!(newest.0.len(), Newest::LIMIT);
        let first = Newest::LIMIT as u64;
        assert_eq!(newest.quantile(0.5), first + first / 2 - 1);
        assert_eq!(newest.quantile(1.0), 2 * first - 1);
    }
}
