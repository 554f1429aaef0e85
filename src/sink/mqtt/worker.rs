//! The network's thread: connects, sends what waits, keeps it on disk until then, and sends [`News`].
//!
//! A result is in one of three places, and they are in its order: on its way (the window), on disk (the spool), in memory (the queue). The
//! window is filled from the spool and, when that is empty, from the queue. While there is no connection, or it is too slow, the
//! queue is emptied into the spool.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::super::broker_counts::{BrokerCounts, Loss};
use super::backoff::Backoff;
use super::connection::{Broken, Connection, Event, KEEP_ALIVE};
use super::news::News;
use super::options::MqttOptions;
use super::packets::{self, Message};
use super::queue::{Queue, drain};
use super::spool::{Place, Spool};
use super::sys;
use super::topics::{OFFLINE, Topics};
use super::transport::{self, Transport};
use super::window::Window;

/// Share of the queue from which on it is emptied into the spool: without a connection, and with one that is too slow.
const SPILL_AWAY: f64 = 0.25;
const SPILL_SLOW: f64 = 0.5;
/// How long results wait in memory at most while there is no connection.
const SPILL_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which the position of the broker in the spool is saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a full disk is left alone before it is tried again.
const DISK_RETRY: Duration = Duration::from_secs(1);
/// QoS 0: how long it takes at most until a result is known to have arrived, and how many may not be.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(500);
/// How long sending the last message may take.
pub(super) const PARTING: Duration = Duration::from_millis(150);
/// Longest wait of the thread.
const TICK: Duration = Duration::from_secs(1);
/// A connection that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// Where the connection stands.
#[derive(Debug)]
enum Link {
    /// There is none until then.
    Down(Instant),
    /// A thread of its own makes one.
    Opening(Receiver<io::Result<Transport>>),
    Open(Box<Connection>),
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Worker {
    options: Arc<MqttOptions>,
    client: String,
    topics: Topics,
    news: News,
    queue: Arc<Queue>,
    woken: UnixStream,
    counts: Arc<BrokerCounts>,
    spool: Option<Spool>,
    /// A result that was taken from the queue and did not fit anywhere.
    carried: Option<(u32, Vec<u8>)>,
    window: Window,
    link: Link,
    backoff: Backoff,
    /// When the disk may be written again.
    disk_from: Instant,
    disk_is_full: bool,
    spilled: Instant,
    saved: Instant,
    /// The last message logged about a missing connection.
    complaint: Option<String>,
    was_connected: bool,
}

impl Worker {
    pub fn new(
        options: Arc<MqttOptions>,
        client: String,
        news: News,
        queue: Arc<Queue>,
        woken: UnixStream,
        counts: Arc<BrokerCounts>,
        spool: Option<Spool>,
    ) -> Self {
        let now = Instant::now();
        Self {
            topics: Topics::new(news.prefix()),
            options,
            client,
            news,
            queue,
            woken,
            counts,
            spool,
            carried: None,
            window: Window::new(),
            link: Link::Down(now),
            backoff: Backoff::default(),
            disk_from: now,
            disk_is_full: false,
            spilled: now,
            saved: now,
            complaint: None,
            was_connected: false,
        }
    }

    /// Works until the run has ended.
    pub fn run(mut self) {
        // Here, as it may take seconds.
        if let Some(spool) = &mut self.spool {
            match spool.scan() {
                Ok(()) => self.counts.on_accepted(spool.unread()),
                Err(error) => {
                    tracing::error!("the spool cannot be read, and is not used: {error}");
                    self.spool = None;
                }
            }
        }
        loop {
            let now = Instant::now();
            if let Some(deadline) = self.queue.ending()
                && (now >= deadline || self.is_done())
            {
                self.part();
                return;
            }
            self.step(now);
            self.wait();
        }
    }

    /// Whether the run has ended and nothing more can be sent.
    fn is_done(&self) -> bool {
        match &self.link {
            Link::Down(_) => true,
            // A first connection may still be made for what a short run has found.
            Link::Opening(_) => self.was_connected,
            Link::Open(connection) => {
                connection.is_accepted() && !connection.is_writing() && self.window.is_empty() && self.has_nothing()
            }
        }
    }

    fn has_nothing(&self) -> bool {
        let spooled = self.spool.as_ref().map_or(0, Spool::unread);
        spooled == 0 && self.carried.is_none() && self.queue.is_empty()
    }

    /// Does all that can be done now.
    fn step(&mut self, now: Instant) {
        drain(&self.woken);
        match &mut self.link {
            Link::Down(next) if now >= *next && self.queue.ending().is_none() => self.open(),
            Link::Down(_) => {}
            Link::Opening(opened) => match opened.try_recv() {
                Ok(Ok(transport)) => self.greet(transport, now),
                Ok(Err(error)) => self.broken(Broken::Failed(error.to_string()), now),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.broken(Broken::Failed("a thread has ended".to_owned()), now),
            },
            Link::Open(_) => {
                if let Err(why) = self.talk(now) {
                    self.broken(why, now);
                }
            }
        }
        self.spill(now);
        if let Some(spool) = &mut self.spool
            && now.saturating_duration_since(self.saved) >= SAVE_INTERVAL
        {
            spool.save();
            self.saved = now;
        }
    }

    /// Begins a connection, in a thread of its own: names take long where there is no network.
    fn open(&mut self) {
        let (opened, receiver) = channel();
        let (options, queue) = (Arc::clone(&self.options), Arc::clone(&self.queue));
        let started = thread::Builder::new().name("mqtt-connect".to_owned()).spawn(move || {
            let _ = opened.send(transport::open(&options));
            queue.wake();
        });
        match started {
            Ok(_) => self.link = Link::Opening(receiver),
            Err(error) => self.broken(Broken::Failed(error.to_string()), Instant::now()),
        }
    }

    /// Sends the first packet.
    fn greet(&mut self, transport: Transport, now: Instant) {
        let mut hello = Vec::new();
        let will = Message {
            topic: &self.topics.available,
            payload: OFFLINE,
            retain: true,
            id: (self.options.qos > 0).then_some(1),
            again: false,
        };
        let made = self.options.login.read().and_then(|credentials| {
            packets::connect(&mut hello, &self.client, KEEP_ALIVE, credentials.as_ref(), will)
                .map_err(|error| error.to_string())
        });
        match made {
            Ok(()) => self.link = Link::Open(Box::new(Connection::new(transport, hello, now))),
            Err(reason) => self.broken(Broken::Failed(reason), now),
        }
    }

    /// Reads, sends, writes.
    fn talk(&mut self, now: Instant) -> Result<(), Broken> {
        self.read(now)?;
        self.say_news(now);
        self.send(now);
        let Link::Open(connection) = &mut self.link else { return Ok(()) };
        let sent = if self.options.qos == 0 { self.window.sent() } else { 0 };
        connection.check(sent, now)?;
        connection.write()
    }

    fn read(&mut self, now: Instant) -> Result<(), Broken> {
        let Link::Open(connection) = &mut self.link else { return Ok(()) };
        let (window, counts, spool) = (&mut self.window, &self.counts, &mut self.spool);
        let mut accepted = false;
        let mut arrived = |place: Option<Place>| {
            counts.on_sent(1);
            if let (Some(spool), Some(place)) = (spool.as_mut(), place) {
                spool.sent(place);
            }
        };
        let read = connection.read(now, |event| match event {
            Event::Accepted => accepted = true,
            Event::Acknowledged(id) => window.acknowledge(id, &mut arrived),
            Event::Confirmed(count) => window.confirm(count, &mut arrived),
        });
        if self.window.sent() == 0 {
            connection.nothing_due();
        }
        if accepted {
            self.accepted();
        }
        read
    }

    fn accepted(&mut self) {
        self.counts.on_connect();
        self.news.begin();
        let waiting = self.counts.waiting();
        let broker = self.options.broker();
        match self.complaint.take() {
            Some(_) => tracing::warn!("{broker}: connected; {waiting} results wait, {} dropped", self.counts.dropped()),
            None => tracing::info!("{broker}: connected"),
        }
        self.was_connected = true;
    }

    fn say_news(&mut self, now: Instant) {
        let Link::Open(connection) = &mut self.link else { return };
        if connection.is_accepted() && connection.has_room() {
            let qos = self.options.qos;
            self.news.say(&self.queue, &mut self.topics, &self.counts, now, |topic, payload, retain| {
                connection.message(topic, payload, retain, qos, now);
            });
        }
    }

    /// Adds results to what is to be written, as many as may be on their way.
    fn send(&mut self, now: Instant) {
        loop {
            let Link::Open(connection) = &mut self.link else { return };
            if !connection.is_accepted() || !connection.has_room() {
                return;
            }
            if let Some(flight) = self.window.next() {
                let topic = &self.topics.camera(flight.camera as usize).poses;
                let id = (self.options.qos > 0).then_some(flight.id);
                let message = Message { topic, payload: &flight.payload, retain: false, id, again: flight.again };
                if let Err(error) = connection.result(message, now) {
                    // Longer than the protocol allows, which is more than the queue holds by default.
                    tracing::error!("{}: {error}", self.options.broker());
                }
                self.confirm(now);
            } else if !self.window.has_room() || !self.load() {
                self.confirm(now);
                return;
            }
        }
    }

    /// QoS 0: asks whether the results have arrived, so that they can be counted.
    fn confirm(&mut self, now: Instant) {
        let Link::Open(connection) = &mut self.link else { return };
        if self.options.qos > 0 {
            return;
        }
        let sent = self.window.sent();
        let (unasked, asked) = connection.unasked(sent);
        let is_late = now.saturating_duration_since(asked) >= CONFIRM_INTERVAL;
        if unasked > 0 && (is_late || unasked >= self.window.allowance().max(1)) {
            connection.ping(sent, now);
        }
    }

    /// Moves the next result that waits into the window; whether there was one.
    fn load(&mut self) -> bool {
        let mut payload = self.window.buffer();
        loop {
            let spooled = match &mut self.spool {
                Some(spool) => spool.next(&mut payload),
                None => Ok(None),
            };
            match spooled {
                Ok(Some((camera, place))) => {
                    self.window.push(camera, payload, Some(place));
                    return true;
                }
                Ok(None) => break,
                Err((lost, error)) => {
                    self.counts.on_dropped(Loss::Spool, lost);
                    tracing::warn!("{lost} results in the spool cannot be read, and are dropped: {error}");
                }
            }
        }
        if let Some((camera, carried)) = self.carried.take() {
            self.window.recycle(payload);
            self.window.push(camera, carried, None);
            return true;
        }
        match self.queue.take(&mut payload) {
            Some(camera) => self.window.push(camera, payload, None),
            None => {
                self.window.recycle(payload);
                return false;
            }
        }
        true
    }

    /// Empties the queue into the spool if it should be.
    fn spill(&mut self, now: Instant) {
        if self.spool.is_none() || now < self.disk_from {
            return;
        }
        let is_connected = matches!(&self.link, Link::Open(connection) if connection.is_accepted());
        let fill = self.queue.fill();
        let is_due = match is_connected {
            true => fill >= SPILL_SLOW,
            false => {
                fill >= SPILL_AWAY || (fill > 0.0 && now.saturating_duration_since(self.spilled) >= SPILL_INTERVAL)
            }
        };
        if is_due {
            self.spilled = now;
            self.spill_all(now);
        }
    }

    /// Empties the queue into the spool. What is on its way and in no spool goes first: it is older.
    fn spill_all(&mut self, now: Instant) {
        if self.spool.as_ref().is_none_or(|spool| spool.unread() == 0) && !self.spill_window(now) {
            return;
        }
        loop {
            let (camera, payload) = match self.carried.take() {
                Some(carried) => carried,
                None => {
                    let mut payload = self.window.buffer();
                    match self.queue.take(&mut payload) {
                        Some(camera) => (camera, payload),
                        None => return self.window.recycle(payload),
                    }
                }
            };
            if append(&mut self.spool, &self.counts, camera, &payload)
                .map_err(|error| self.complain_of_disk(&error, now))
                .is_err()
            {
                self.carried = Some((camera, payload));
                return;
            }
            self.window.recycle(payload);
            self.disk_is_full = false;
        }
    }

    /// Writes what is on its way to the spool too; whether that worked.
    fn spill_window(&mut self, now: Instant) -> bool {
        let mut failed = None;
        for flight in self.window.iter_mut().filter(|flight| flight.place.is_none()) {
            match append(&mut self.spool, &self.counts, flight.camera, &flight.payload) {
                Ok(place) => flight.place = Some(place),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some(spool) = &mut self.spool {
            spool.skip_all();
        }
        failed.map(|error| self.complain_of_disk(&error, now)).is_none()
    }

    fn complain_of_disk(&mut self, error: &io::Error, now: Instant) {
        self.disk_from = now + DISK_RETRY;
        if !std::mem::replace(&mut self.disk_is_full, true) {
            tracing::warn!(
                "the spool cannot be written: {error}; results wait in memory, and the oldest are dropped when that is full"
            );
        }
    }

    /// The connection is over, or could not be made.
    fn broken(&mut self, why: Broken, now: Instant) {
        let (was_accepted, age, takes_messages) = match &self.link {
            Link::Open(connection) => (connection.is_accepted(), connection.age(now), connection.takes_messages()),
            _ => (false, Duration::ZERO, false),
        };
        if was_accepted {
            self.counts.on_disconnect();
            if self.window.has_progress() || age >= GOOD {
                self.backoff.reset();
            }
        }
        if self.options.qos == 0 {
            self.drop_sent(Loss::Unconfirmed);
        }
        let is_refused = self.window.disconnected(takes_messages && matches!(why, Broken::Closed));
        if is_refused {
            self.drop_oldest(Loss::Refused);
            tracing::warn!(
                "{}: a result is dropped because the broker closes the connection when it comes",
                self.options.broker()
            );
        }
        let reason = match why {
            Broken::Closed => "it has closed the connection".to_owned(),
            Broken::Failed(reason) => reason,
        };
        if self.complaint.as_ref() != Some(&reason) {
            let place = if self.spool.is_some() { "on disk" } else { "in memory" };
            tracing::warn!("{}: {reason}; trying again, results wait {place}", self.options.broker());
            self.complaint = Some(reason);
        }
        self.link = Link::Down(now + self.backoff.next());
    }

    /// Drops what was sent on this connection.
    fn drop_sent(&mut self, why: Loss) {
        for _ in 0..self.window.sent() {
            self.drop_oldest(why);
        }
    }

    fn drop_oldest(&mut self, why: Loss) {
        let Some(place) = self.window.drop_oldest() else { return };
        self.counts.on_dropped(why, 1);
        if let (Some(spool), Some(place)) = (&mut self.spool, place) {
            spool.sent(place);
        }
    }

    /// Waits until there is something to do.
    fn wait(&mut self) {
        let now = Instant::now();
        let has_spool = self.spool.is_some();
        let mut until = now + TICK;
        let (connection, share) = match &self.link {
            Link::Down(next) => {
                until = until.min(*next);
                (None, has_spool.then_some(SPILL_AWAY))
            }
            Link::Opening(_) => (None, has_spool.then_some(SPILL_AWAY)),
            Link::Open(connection) => {
                until = until.min(connection.next_check());
                if connection.is_accepted() {
                    if connection.has_room() {
                        until = until.min(self.news.next(now));
                    }
                    if self.options.qos == 0 && self.window.sent() > 0 {
                        until = until.min(now + CONFIRM_INTERVAL);
                    }
                }
                let can_send = connection.is_accepted() && connection.has_room() && self.window.has_room();
                let share = if can_send { Some(0.0) } else { has_spool.then_some(SPILL_SLOW) };
                (Some((connection.file(), connection.is_writing())), share)
            }
        };
        if let Some(deadline) = self.queue.ending() {
            until = until.min(deadline);
        }
        // A disk that is full is not asked again at once.
        let share = share.filter(|&share| share == 0.0 || now >= self.disk_from);
        let is_ready = self.queue.wake_at(share);
        let timeout = if is_ready { Duration::ZERO } else { until.saturating_duration_since(now) };
        if let Err(error) = sys::wait(self.woken.as_fd(), connection, timeout) {
            tracing::debug!("waiting failed: {error}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end of the run: what has not arrived goes to the spool or is counted, and the broker is told.
    fn part(&mut self) {
        let now = Instant::now();
        if self.options.qos == 0 {
            self.drop_sent(Loss::Unconfirmed);
        }
        if self.spool.is_some() {
            self.spill_all(now);
        }
        let lost = self.window.iter_mut().filter(|flight| flight.place.is_none()).count();
        self.counts.on_dropped(Loss::End, lost as u64);
        if self.carried.take().is_some() {
            self.counts.on_dropped(Loss::End, 1);
        }
        self.queue.clear(Loss::End);
        if let Some(spool) = &mut self.spool {
            spool.save();
        }
        if let Link::Open(connection) = &mut self.link
            && connection.is_accepted()
        {
            connection.message(&self.topics.available, OFFLINE, true, self.options.qos, now);
            connection.goodbye();
            let until = now + PARTING;
            while Instant::now() < until && connection.write().is_ok() && !connection.discard() {
                let left = until.saturating_duration_since(Instant::now());
                // The other end of the queue stays silent from here on.
                let file = (connection.file(), connection.is_writing());
                let _ = sys::wait(self.woken.as_fd(), Some(file), left);
                drain(&self.woken);
            }
            self.counts.on_disconnect();
        }
        self.report();
    }

    /// Logs what did not arrive.
    fn report(&self) {
        let (waiting, dropped) = (self.counts.waiting(), self.counts.dropped());
        let broker = self.options.broker();
        if waiting > 0 {
            tracing::warn!("{broker}: {waiting} results wait in the spool for the next run");
        }
        if dropped > 0 {
            let reasons = self.counts.by_loss().into_iter().filter(|(_, count)| *count > 0);
            let reasons: Vec<String> = reasons.map(|(name, count)| format!("{name} {count}")).collect();
            tracing::warn!("{broker}: {dropped} results were dropped ({})", reasons.join(", "));
        }
    }
}

/// Appends a result to the spool, and counts what that costs.
fn append(spool: &mut Option<Spool>, counts: &BrokerCounts, camera: u32, payload: &[u8]) -> io::Result<Place> {
    let Some(spool) = spool else { return Err(io::ErrorKind::NotFound.into()) };
    let (dropped, written) = spool.append(camera, payload);
    counts.on_dropped(Loss::Spool, dropped);
    written.inspect(|_| counts.on_spooled(1))
}
