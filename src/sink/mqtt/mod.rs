//! Results to an MQTT broker.
//!
//! ```text
//! thread of the sinks           thread "mqtt"
//! put() -- a line of JSON --> queue in memory --> spool on disk, if there is one and it is needed --> the broker
//! ```
//!
//! `put` copies the result and never waits; the thread "mqtt" does the rest, except that another one resolves names and connects.
//! Whatever the broker does, a result is waiting, sent or dropped, and counted as such ([`BrokerCounts`]).
//!
//! | file | |
//! |---|---|
//! | `options` | what the URI says |
//! | `queue` | the queue in memory |
//! | `spool` | the one on disk |
//! | `window` | results that are sent and not acknowledged yet |
//! | `packets` | the protocol |
//! | `transport`, `tls` | TCP and TLS |
//! | `connection` | one connection |
//! | `worker` | the thread |
//! | `news`, `topics`, `discovery` | messages besides results |

mod backoff;
mod connection;
mod discovery;
mod news;
pub mod options;
pub mod packets;
mod queue;
pub mod spool;
mod sys;
#[cfg(feature = "mqtt-tls")]
mod tls;
mod topics;
mod transport;
mod window;
mod worker;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use self::news::News;
use self::options::MqttOptions;
use self::queue::Queue;
use self::spool::Spool;
use self::worker::{PARTING, Worker};
use super::broker_counts::BrokerCounts;
use super::jsonl::{JsonLines, is_header};
use super::{FrameResult, OutputSchema, Sink, SinkError};
use crate::hash;

/// How long the results of cameras, which are worth less the older they are, may still be sent at the end of the run.
const DRAIN_LIVE: Duration = Duration::from_millis(400);
/// The same for those of files.
const DRAIN: Duration = Duration::from_millis(1400);
/// How much longer the thread may take for the disk.
const DISK: Duration = Duration::from_millis(200);

/// Sends results to a broker.
struct Mqtt {
    lines: JsonLines<Inlet>,
    queue: Arc<Queue>,
    /// Says that the thread has ended.
    ended: Option<Receiver<()>>,
    broker: String,
    is_live: bool,
}

/// Takes the lines; headers have a topic of their own.
#[derive(Debug)]
struct Inlet {
    queue: Arc<Queue>,
    /// The camera of the next line.
    camera: u32,
    header: Vec<u8>,
}

impl Write for Inlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let object = line.strip_suffix(b"\n").unwrap_or(line);
        if is_header(line) {
            self.header = object.to_vec();
        } else {
            self.queue.put(self.camera, object);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends results to the broker that `uri` names; `counts` counts what becomes of them. Does not wait for the broker.
///
/// # Errors
/// If the URI is wrong, a file that it names cannot be read, the spool cannot be used, or the system provides no thread.
pub fn open(uri: &str, schema: &OutputSchema, counts: &Arc<BrokerCounts>) -> Result<Box<dyn Sink>, SinkError> {
    let options = MqttOptions::parse(uri, &|name| std::env::var(name).ok())?;
    let broker = options.broker();
    let wrong = |reason| SinkError::Option { uri: options::shown(uri), reason };
    let failed = |source| SinkError::Open { target: broker.clone(), source };
    options.login.read().map_err(wrong)?;
    if options.tls {
        check_tls(&options).map_err(wrong)?;
    }
    let spool = match &options.spool {
        Some((folder, limit)) => {
            let spool = Spool::prepare(folder, *limit);
            Some(spool.map_err(|error| wrong(format!("spool={}: {error}", folder.display())))?)
        }
        None => None,
    };
    let prefix = options.prefix.clone().unwrap_or_else(|| default_prefix(schema));
    let client = options.client.clone().unwrap_or_else(|| default_client(schema, &prefix));
    let (queue, woken) = Queue::new(options.queue, Arc::clone(counts)).map_err(failed)?;
    let inlet = Inlet { queue: Arc::clone(&queue), camera: 0, header: Vec::new() };
    let mut lines = JsonLines::new(inlet, &broker, schema)?;
    let header = lines.output().header.clone();
    let news = News::new(prefix, schema.clone(), header, &client, options.discovery.as_deref());
    let worker = Worker::new(Arc::new(options), client, news, Arc::clone(&queue), woken, Arc::clone(counts), spool);
    let (end, ended) = sync_channel(1);
    thread::Builder::new()
        .name("mqtt".to_owned())
        .spawn(move || {
            worker.run();
            let _ = end.send(());
        })
        .map_err(SinkError::Thread)?;
    counts.on_open();
    Ok(Box::new(Mqtt { lines, queue, ended: Some(ended), broker, is_live: true }))
}

#[cfg(feature = "mqtt-tls")]
fn check_tls(options: &MqttOptions) -> Result<(), String> {
    tls::check(options).map_err(|error| error.to_string())
}

#[cfg(not(feature = "mqtt-tls"))]
fn check_tls(_: &MqttOptions) -> Result<(), String> {
    Err("this program was built without TLS: build it with `cargo build --release --features mqtt-tls`, or use mqtt:// where the \
         network is trusted"
        .to_owned())
}

/// `sinew/` and the name of this machine.
fn default_prefix(schema: &OutputSchema) -> String {
    let allowed = |character: char| !character.is_control() && !"+#/".contains(character);
    let host = schema.host.as_deref().filter(|host| !host.is_empty()).unwrap_or("board");
    format!(
        "sinew/{}",
        host.chars().map(|character| if allowed(character) { character } else { '_' }).collect::<String>()
    )
}

/// An identifier that stays the same on this machine, and that no other program has, as long as their topics differ: of two clients
/// with one identifier, the broker disconnects the first.
fn default_client(schema: &OutputSchema, prefix: &str) -> String {
    let machine = schema.device.as_deref().or(schema.host.as_deref()).unwrap_or_default();
    let digest = hash::of_bytes(format!("{machine}\n{prefix}").as_bytes());
    format!("sinew{}", &digest[..16])
}

impl Sink for Mqtt {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let camera = result.live.map_or(0, |live| live.camera);
        self.is_live = result.live.is_some();
        self.queue.note(camera, result.poses.list.len(), result.live.and_then(|live| live.age));
        self.lines.output().camera = u32::try_from(camera).unwrap_or(u32::MAX);
        self.lines.put(result)
    }

    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        self.lines.describe(schema)?;
        self.queue.describe(schema.clone(), self.lines.output().header.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let Some(ended) = self.ended.take() else { return Ok(()) };
        let patience = if self.is_live { DRAIN_LIVE } else { DRAIN };
        self.queue.end(Instant::now() + patience);
        if ended.recv_timeout(patience + PARTING + DISK).is_err() {
            tracing::warn!("{}: the last results were not sent in time", self.broker);
        }
        Ok(())
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_differ() {
        let schema = |host: &str, device: &str| OutputSchema {
            host: Some(host.into()),
            device: Some(device.into()),
            ..OutputSchema::default()
        };
        assert_eq!(default_prefix(&schema("gate+1/a", "x")), "sinew/gate_1_a");
        assert_eq!(default_prefix(&OutputSchema::default()), "sinew/board");
        let client = default_client(&schema("a", "x"), "p");
        assert_eq!((client.len(), &client), (21, &default_client(&schema("b", "x"), "p")));
        assert!(client != default_client(&schema("a", "y"), "p") && client != default_client(&schema("a", "x"), "q"));
    }
}
