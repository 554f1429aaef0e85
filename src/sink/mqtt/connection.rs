//! One connection to a broker: what is to be written, what it has answered, and whether it is still alive.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use super::packets::{self, Answer, Answers, Message};
use super::transport::Transport;
use super::window::LAST_ID;

/// Bytes that wait to be written before no more results are added.
const OUT: usize = 64 << 10;
/// How long the broker has to accept the connection.
const GREETING: Duration = Duration::from_secs(10);
/// How long it may say nothing while an answer is due.
const SILENCE: Duration = Duration::from_secs(20);
/// Keep-alive, seconds: after 1.5 times as long in silence the broker considers this client dead.
pub(super) const KEEP_ALIVE: u16 = 10;
/// Time without a message of ours after which a ping is sent.
const IDLE: Duration = Duration::from_secs(5);

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Broken {
    /// The broker has closed it.
    Closed,
    /// Anything else.
    Failed(String),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    answers: Answers,
    out: Vec<u8>,
    written: usize,
    since: Instant,
    /// Since when an answer is due, or the last one has come with others due.
    due: Option<Instant>,
    spoken: Instant,
    /// When it was last pinged.
    asked: Instant,
    /// Whether the broker has accepted it.
    accepted: bool,
    /// The number of our last message that is no result.
    last_id: u16,
    /// Whether the broker has taken such a message.
    takes_messages: bool,
    /// By unanswered ping: how many more results have arrived when it is answered.
    pings: VecDeque<usize>,
    /// Sum of these.
    covered: usize,
}

/// What the broker has answered about results.
pub(super) enum Event {
    Accepted,
    Acknowledged(u16),
    Confirmed(usize),
}

impl Connection {
    /// Takes over a connection; `hello` is the first packet.
    pub fn new(transport: Transport, hello: Vec<u8>, now: Instant) -> Self {
        Self {
            transport,
            answers: Answers::default(),
            out: hello,
            written: 0,
            since: now,
            due: Some(now),
            spoken: now,
            asked: now,
            accepted: false,
            last_id: LAST_ID,
            takes_messages: false,
            pings: VecDeque::new(),
            covered: 0,
        }
    }

    pub fn is_accepted(&self) -> bool {
        self.accepted
    }

    pub fn takes_messages(&self) -> bool {
        self.takes_messages
    }

    /// How long it has lasted.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether more may be added now.
    pub fn has_room(&self) -> bool {
        self.out.len() - self.written < OUT
    }

    /// Whether something waits to be written.
    pub fn is_writing(&self) -> bool {
        // Before TLS is set up, nothing can be written that waits.
        self.transport.holds_bytes() || (self.written < self.out.len() && !self.transport.is_setting_up())
    }

    pub fn file(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }

    /// Adds a result.
    pub fn result(&mut self, message: Message<'_>, now: Instant) -> Result<(), packets::Unfit> {
        packets::publish(&mut self.out, message)?;
        self.spoken = now;
        if message.id.is_some() {
            self.due.get_or_insert(now);
        }
        Ok(())
    }

    /// Adds another message.
    pub fn message(&mut self, topic: &str, payload: &[u8], retain: bool, qos: u8, now: Instant) {
        let id = (qos > 0).then(|| {
            self.last_id = self.last_id.checked_add(1).unwrap_or(LAST_ID + 1);
            self.last_id
        });
        // Topics are checked, and none of these is long.
        let _ = self.result(Message { topic, payload, retain, id, again: false }, now);
    }

    /// Sends a ping; when it is answered, `sent` results have arrived.
    pub fn ping(&mut self, sent: usize, now: Instant) {
        packets::ping(&mut self.out);
        self.pings.push_back(sent - self.covered);
        self.covered = sent;
        (self.spoken, self.asked) = (now, now);
        self.due.get_or_insert(now);
    }

    /// How many of the results that were sent no ping has asked for yet, and when the last one was sent.
    pub fn unasked(&self, sent: usize) -> (usize, Instant) {
        (sent.saturating_sub(self.covered), self.asked)
    }

    /// Adds the end.
    pub fn goodbye(&mut self) {
        packets::disconnect(&mut self.out);
    }

    /// When [`Connection::check`] is to be called next.
    pub fn next_check(&self) -> Instant {
        let idle = self.spoken + IDLE;
        let patience = if self.accepted { SILENCE } else { GREETING };
        self.due.map_or(idle, |due| idle.min(due + patience))
    }

    /// Sends a ping if nothing else was sent for a while.
    ///
    /// # Errors
    /// If the broker has been silent for too long.
    pub fn check(&mut self, sent: usize, now: Instant) -> Result<(), Broken> {
        let patience = if self.accepted { SILENCE } else { GREETING };
        if self.due.is_some_and(|due| now.saturating_duration_since(due) >= patience) {
            return Err(Broken::Failed(format!("it has not answered for {} s", patience.as_secs())));
        }
        if self.accepted && now.saturating_duration_since(self.spoken) >= IDLE {
            self.ping(sent, now);
        }
        Ok(())
    }

    /// Writes as much as there is room for.
    pub fn write(&mut self) -> Result<(), Broken> {
        while self.written < self.out.len() {
            match self.transport.write(&self.out[self.written..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => self.written += count,
                Err(error) => return waits(error),
            }
        }
        self.out.clear();
        self.written = 0;
        if self.transport.holds_bytes() { self.transport.flush().or_else(waits) } else { Ok(()) }
    }

    /// Reads everything that is there.
    pub fn read(&mut self, now: Instant, mut event: impl FnMut(Event)) -> Result<(), Broken> {
        let mut bytes = [0; 4096];
        loop {
            let count = match self.transport.read(&mut bytes) {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => count,
                Err(error) => return waits(error),
            };
            let (mut refused, mut unexpected) = (None, false);
            let read = self.answers.read(&bytes[..count], |answer| match answer {
                Answer::Connection(Ok(())) if !self.accepted => {
                    self.accepted = true;
                    event(Event::Accepted);
                }
                Answer::Connection(Err(reason)) if !self.accepted => refused = Some(reason),
                Answer::Acknowledged(id) if self.accepted && id <= LAST_ID => event(Event::Acknowledged(id)),
                Answer::Acknowledged(_) if self.accepted => self.takes_messages = true,
                Answer::Alive if self.accepted => match self.pings.pop_front() {
                    Some(arrived) => {
                        self.covered -= arrived;
                        event(Event::Confirmed(arrived));
                    }
                    None => unexpected = true,
                },
                _ => unexpected = true,
            });
            read.map_err(Broken::Failed)?;
            if let Some(reason) = refused {
                return Err(Broken::Failed(reason.to_owned()));
            }
            if unexpected {
                return Err(Broken::Failed("it answered what was not asked".to_owned()));
            }
            self.due = Some(now);
        }
    }

    /// No answer is due any more.
    pub fn nothing_due(&mut self) {
        if self.accepted && self.pings.is_empty() {
            self.due = None;
        }
    }

    /// Reads and discards, at the end: an answer that nobody reads would make the kernel discard what was written. Whether the broker has
    /// closed the connection.
    pub fn discard(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.transport.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return false,
                Err(_) => return true,
            }
        }
    }
}

/// What is not ready yet is no failure.
fn waits(error: io::Error) -> Result<(), Broken> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => Err(Broken::Closed),
        _ => Err(Broken::Failed(error.to_string())),
    }
}
