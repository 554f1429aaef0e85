//! Counts of results on their way to a broker.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a result never reached the broker. The names are the labels of `sinew_mqtt_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The queue in memory was full.
    Queue,
    /// The spool on disk was full, or could not be read again.
    Spool,
    /// The broker closed the connection whenever it was sent.
    Refused,
    /// QoS 0: the connection broke before the broker was known to have it. It may have arrived.
    Unconfirmed,
    /// The run ended first, without a spool.
    End,
}

impl Loss {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Queue, "queue"),
        (Self::Spool, "spool"),
        (Self::Refused, "refused"),
        (Self::Unconfirmed, "unconfirmed"),
        (Self::End, "end"),
    ];
}

/// Counts of results on their way to brokers, written by the sinks of a run and read during it. Each result that was put in, or was
/// found in a spool, is waiting, sent or dropped.
#[derive(Debug, Default)]
pub struct BrokerCounts {
    sinks: AtomicU64,
    connected: AtomicU64,
    connections: AtomicU64,
    accepted: AtomicU64,
    sent: AtomicU64,
    spooled: AtomicU64,
    dropped: [AtomicU64; Loss::ALL.len()],
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl BrokerCounts {
    /// Counts a sink that was opened.
    pub(super) fn on_open(&self) {
        self.sinks.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that the broker accepted.
    pub(super) fn on_connect(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of such a connection.
    pub(super) fn on_disconnect(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts results that were put in, or found in a spool.
    pub(super) fn on_accepted(&self, results: u64) {
        self.accepted.fetch_add(results, Ordering::Relaxed);
    }

    /// Counts results that the broker has.
    pub(super) fn on_sent(&self, results: u64) {
        self.sent.fetch_add(results, Ordering::Relaxed);
    }

    /// Counts results that were written to a spool.
    pub(super) fn on_spooled(&self, results: u64) {
        self.spooled.fetch_add(results, Ordering::Relaxed);
    }

    /// Counts results that will never reach the broker.
    pub(super) fn on_dropped(&self, why: Loss, results: u64) {
        self.dropped[why as usize].fetch_add(results, Ordering::Relaxed);
    }

    /// Sinks that send to a broker.
    pub fn sinks(&self) -> u64 {
        read(&self.sinks)
    }

    /// Connections that are open.
    pub fn connected(&self) -> u64 {
        read(&self.connected)
    }

    /// Connections that brokers have accepted so far.
    pub fn connections(&self) -> u64 {
        read(&self.connections)
    }

    /// Results that were put in, or found in a spool.
    pub fn accepted(&self) -> u64 {
        read(&self.accepted)
    }

    /// Results that brokers have: acknowledged ones with QoS 1.
    pub fn sent(&self) -> u64 {
        read(&self.sent)
    }

    /// Results that were written to a spool.
    pub fn spooled(&self) -> u64 {
        read(&self.spooled)
    }

    /// Results that will never arrive, by reason.
    pub fn by_loss(&self) -> [(&'static str, u64); Loss::ALL.len()] {
        Loss::ALL.map(|(why, name)| (name, read(&self.dropped[why as usize])))
    }

    /// Their sum.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(read).sum()
    }

    /// Results in memory and in spools.
    pub fn waiting(&self) -> u64 {
        self.accepted().saturating_sub(self.sent() + self.dropped())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_counted_once() {
        let counts = BrokerCounts::default();
        counts.on_accepted(20);
        counts.on_sent(3);
        for (number, (why, _)) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, number, "its place in the array");
            counts.on_dropped(why, 1 + number as u64);
        }
        assert_eq!(counts.by_loss().map(|(_, count)| count), [1, 2, 3, 4, 5]);
        assert_eq!((counts.dropped(), counts.waiting()), (15, 2));
    }
}
