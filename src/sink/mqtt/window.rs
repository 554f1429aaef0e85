//! Results that are on their way to the broker: sent, or about to be, and not yet known to have arrived.

use std::collections::VecDeque;

use super::spool::Place;

/// Most results on their way at once.
const MOST: usize = 512;
/// Results that a connection begins with; each that arrives allows one more.
const FIRST: usize = 8;
/// Numbers of results are up to this one; those of other messages are above.
pub(super) const LAST_ID: u16 = 60_000;
/// How often the broker may close the connection while a result is the only one on its way, before that counts as refused.
const STRIKES: u8 = 3;

/// A result on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub camera: u32,
    pub payload: Vec<u8>,
    /// Its number for the broker.
    pub id: u16,
    /// Where it is in the spool, if it is there.
    pub place: Option<Place>,
    /// Whether it was sent on an earlier connection.
    pub again: bool,
    arrived: bool,
}

/// Results on their way, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    flights: VecDeque<Flight>,
    /// Buffers of earlier ones.
    spare: Vec<Vec<u8>>,
    /// How many of them were sent on this connection.
    sent: usize,
    limit: usize,
    last_id: u16,
    /// Whether one has arrived on this connection.
    progress: bool,
    /// How often in a row the broker has closed the connection without taking the oldest.
    strikes: u8,
}

impl Window {
    pub fn new() -> Self {
        Self {
            flights: VecDeque::new(),
            spare: Vec::new(),
            sent: 0,
            limit: FIRST,
            last_id: 0,
            progress: false,
            strikes: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.flights.len()
    }

    /// How many were sent on this connection.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Whether one has arrived on this connection.
    pub fn has_progress(&self) -> bool {
        self.progress
    }

    /// Whether another result may be added to be sent now.
    pub fn has_room(&self) -> bool {
        self.sent == self.flights.len() && self.sent < self.limit
    }

    /// How many more may be sent.
    pub fn allowance(&self) -> usize {
        self.limit.saturating_sub(self.sent)
    }

    /// A buffer for a result.
    pub fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Gives a buffer back.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < MOST {
            self.spare.push(buffer);
        }
    }

    /// Adds a result behind the others.
    pub fn push(&mut self, camera: u32, payload: Vec<u8>, place: Option<Place>) {
        self.last_id = self.last_id % LAST_ID + 1;
        self.flights.push_back(Flight { camera, payload, id: self.last_id, place, again: false, arrived: false });
    }

    /// The next one to be sent, if one may be; it counts as sent.
    pub fn next(&mut self) -> Option<&Flight> {
        if self.sent >= self.limit.min(self.flights.len()) {
            return None;
        }
        self.sent += 1;
        self.flights.get(self.sent - 1)
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.flights.iter_mut()
    }

    /// The result with this number has arrived. Calls `arrived` for all that have, in their order.
    pub fn acknowledge(&mut self, id: u16, arrived: impl FnMut(Option<Place>)) {
        // Brokers acknowledge in order: it is the first.
        if let Some(flight) = self.flights.iter_mut().take(self.sent).find(|flight| flight.id == id) {
            flight.arrived = true;
            self.take_arrived(arrived);
        }
    }

    /// The oldest `count` results have arrived.
    pub fn confirm(&mut self, count: usize, arrived: impl FnMut(Option<Place>)) {
        let count = count.min(self.sent);
        self.flights.iter_mut().take(count).for_each(|flight| flight.arrived = true);
        self.take_arrived(arrived);
    }

    fn take_arrived(&mut self, mut arrived: impl FnMut(Option<Place>)) {
        (self.progress, self.strikes) = (true, 0);
        while self.flights.front().is_some_and(|flight| flight.arrived) {
            let place = self.remove();
            self.limit = (self.limit + 1).min(MOST);
            arrived(place);
        }
    }

    fn remove(&mut self) -> Option<Place> {
        let flight = self.flights.pop_front()?;
        self.sent = self.sent.saturating_sub(1);
        self.recycle(flight.payload);
        flight.place
    }

    /// Removes the oldest, whatever has become of it; its place.
    pub fn drop_oldest(&mut self) -> Option<Option<Place>> {
        (!self.flights.is_empty()).then(|| self.remove())
    }

    /// The connection is over: all are sent again on the next. `refused` says that the broker has closed it, after it had taken other
    /// messages. Returns whether the oldest result is to be dropped, because that is what it does not take.
    pub fn disconnected(&mut self, refused: bool) -> bool {
        let was_alone = self.limit == 1;
        if self.progress || !refused || self.sent == 0 {
            // A network that breaks says nothing about a result.
            self.strikes = if self.progress { 0 } else { self.strikes };
        } else {
            self.strikes += 1;
        }
        let is_refused = was_alone && self.strikes >= STRIKES;
        if is_refused {
            self.strikes = 0;
        }
        self.flights.iter_mut().take(self.sent).for_each(|flight| flight.again = true);
        (self.sent, self.progress) = (0, false);
        self.limit = if self.strikes > 0 { 1 } else { FIRST };
        is_refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u8) -> Window {
        let mut window = Window::new();
        (0..count).for_each(|number| window.push(0, vec![number], None));
        window
    }

    fn send(window: &mut Window) -> Vec<(u8, u16, bool)> {
        let mut sent = Vec::new();
        while let Some(flight) = window.next() {
            sent.push((flight.payload[0], flight.id, flight.again));
        }
        sent
    }

    #[test]
    fn more_are_sent_as_they_arrive() {
        let mut window = filled(40);
        let sent = send(&mut window);
        assert_eq!(sent.len(), FIRST);
        let mut arrived = 0;
        sent.iter().for_each(|&(_, id, _)| window.acknowledge(id, |_| arrived += 1));
        assert_eq!((arrived, window.len(), send(&mut window).len()), (8, 32, 16));
        // A number that is not known, or was not sent.
        window.acknowledge(9999, |_| panic!("this one has not arrived"));
        window.acknowledge(40, |_| panic!("this one was not sent"));
        // Out of order.
        window.acknowledge(10, |_| panic!("the one before has not arrived"));
        let mut count = 0;
        window.acknowledge(9, |_| count += 1);
        assert_eq!(count, 2);
    }

    #[test]
    fn everything_is_sent_again_in_order() {
        let mut window = filled(12);
        send(&mut window);
        window.acknowledge(1, |_| ());
        assert!(!window.disconnected(true), "one had arrived");
        let again: Vec<(u8, bool)> = send(&mut window).into_iter().map(|(number, _, again)| (number, again)).collect();
        assert_eq!(again, (1..9).map(|number| (number, number < 8)).collect::<Vec<_>>());
    }

    #[test]
    fn a_result_that_is_refused_alone_three_times_is_dropped() {
        let mut window = filled(12);
        // A network that breaks.
        for _ in 0..10 {
            assert_eq!(send(&mut window).len(), FIRST);
            assert!(!window.disconnected(false));
        }
        for (count, dropped) in [(FIRST, false), (1, false), (1, true)] {
            assert_eq!(send(&mut window).len(), count);
            assert_eq!(window.disconnected(true), dropped);
        }
        window.drop_oldest();
        assert_eq!(send(&mut window)[0].0, 1);
    }

    #[test]
    fn numbers_are_used_again_only_after_all_others() {
        let mut window = Window::new();
        for number in 0..150_000_u32 {
            let buffer = window.buffer();
            window.push(0, buffer, None);
            let id = window.next().unwrap().id;
            assert_eq!(u32::from(id), number % u32::from(LAST_ID) + 1);
            window.acknowledge(id, |_| ());
        }
        assert!(window.is_empty() && window.spare.len() <= 1);
    }
}
