//! Messages besides results: status and header once per connection and model, numbers of poses when they change, statistics.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::OutputSchema;
use super::super::broker_counts::BrokerCounts;
use super::discovery::Discovery;
use super::queue::{CameraState, Queue};
use super::topics::{ONLINE, Stats, Status, Topics, json, utc};
use crate::thermal;

/// Interval between statistics.
const STATS_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest interval between two numbers of poses of a camera.
const COUNT_INTERVAL: Duration = Duration::from_millis(500);

/// The messages besides results.
#[derive(Debug)]
pub(super) struct News {
    prefix: String,
    schema: OutputSchema,
    header: Vec<u8>,
    status: Vec<u8>,
    client: String,
    discovery: Option<Discovery>,
    thermal: PathBuf,
    started: Instant,
    /// The same, seconds since 1970.
    started_utc: f64,
    is_introduced: bool,
    /// The cameras at the last statistics, and now.
    before: Vec<CameraState>,
    cameras: Vec<CameraState>,
    stats: Instant,
    /// By camera: the number of poses last sent on this connection, and when.
    counts: Vec<Option<(usize, Instant)>>,
    /// Whether a changed number waits for its interval to end.
    is_pending: bool,
}

impl News {
    /// For a run whose results begin with `header`.
    pub fn new(prefix: String, schema: OutputSchema, header: Vec<u8>, client: &str, discovery: Option<&str>) -> Self {
        let (now, started_utc) = (Instant::now(), utc());
        Self {
            status: json(&Status::new(&schema, client, started_utc)),
            discovery: discovery.map(|prefix| Discovery::new(prefix, client)),
            client: client.to_owned(),
            prefix,
            schema,
            header,
            thermal: Path::new("/").join(thermal::FOLDER),
            started: now,
            started_utc,
            is_introduced: false,
            before: Vec::new(),
            cameras: Vec::new(),
            stats: now,
            counts: Vec::new(),
            is_pending: false,
        }
    }

    /// The prefix of all topics.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A connection begins: everything is sent again.
    pub fn begin(&mut self) {
        self.is_introduced = false;
        self.counts.clear();
    }

    /// When the next message may be due.
    pub fn next(&self, now: Instant) -> Instant {
        let stats = self.stats + STATS_INTERVAL;
        if self.is_pending { stats.min(now + COUNT_INTERVAL) } else { stats }
    }

    /// Passes every message that is due to `say`: topic, payload, and whether the broker retains it.
    pub fn say(
        &mut self,
        queue: &Queue,
        topics: &mut Topics,
        counts: &BrokerCounts,
        now: Instant,
        mut say: impl FnMut(&str, &[u8], bool),
    ) {
        if let Some((schema, header)) = queue.described() {
            self.status = json(&Status::new(&schema, &self.client, self.started_utc));
            (self.schema, self.header) = (schema, header);
            self.begin();
        }
        if !self.is_introduced {
            self.is_introduced = true;
            say(&topics.status, &self.status, true);
            say(&topics.header, &self.header, true);
            if let Some(discovery) = &self.discovery
                && self.temperature().is_some()
            {
                let (topic, payload) = discovery.temperature(&self.schema, topics);
                say(&topic, &payload, true);
            }
            say(&topics.available, ONLINE, true);
        }
        queue.cameras(&mut self.cameras);
        self.is_pending = false;
        for (camera, state) in self.cameras.iter().enumerate().filter(|(_, state)| state.frames > 0) {
            if self.counts.len() <= camera {
                self.counts.resize(camera + 1, None);
            }
            match self.counts[camera] {
                Some((said, _)) if said == state.poses => {}
                Some((_, at)) if now.saturating_duration_since(at) < COUNT_INTERVAL => self.is_pending = true,
                said => {
                    if let (None, Some(discovery)) = (said, &self.discovery) {
                        let (topic, payload) = discovery.camera(camera, &self.schema, topics);
                        say(&topic, &payload, true);
                    }
                    say(&topics.camera(camera).count, state.poses.to_string().as_bytes(), true);
                    self.counts[camera] = Some((state.poses, now));
                }
            }
        }
        let since = now.saturating_duration_since(self.stats);
        if since >= STATS_INTERVAL {
            let uptime = now.saturating_duration_since(self.started);
            let stats = Stats::new(uptime, since, &self.before, &self.cameras, counts, self.temperature());
            say(&topics.stats, &json(&stats), false);
            self.stats = now;
            self.before.clone_from(&self.cameras);
        }
    }

    fn temperature(&self) -> Option<f32> {
        thermal::hottest(&thermal::zones(&self.thermal))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn said(news: &mut News, queue: &Queue, now: Instant) -> Vec<(String, String, bool)> {
        let mut said = Vec::new();
        let mut topics = Topics::new("p");
        news.say(queue, &mut topics, &BrokerCounts::default(), now, |topic, payload, retain| {
            said.push((topic.to_owned(), String::from_utf8_lossy(payload).into_owned(), retain));
        });
        said
    }

    #[test]
    fn everything_has_its_time() {
        let (queue, _woken) = Queue::new(1000, Arc::default()).unwrap();
        let mut news = News::new("p".into(), OutputSchema::default(), b"{}".to_vec(), "c", Some("ha"));
        news.thermal = "/nowhere".into();
        let start = news.stats;
        let topics = |said: &[(String, String, bool)]| said.iter().map(|(topic, ..)| topic.clone()).collect::<Vec<_>>();
        let first = said(&mut news, &queue, start);
        assert_eq!(topics(&first), ["p/status", "p/header", "p/available"]);
        assert!(first.iter().all(|(.., retain)| *retain));
        assert!(said(&mut news, &queue, start).is_empty());
        // A camera: its discovery once, its number when it changes, but not too often.
        queue.note(1, 3, None);
        let count = ("p/1/count".to_owned(), "3".to_owned(), true);
        let second = said(&mut news, &queue, start);
        assert_eq!(topics(&second), ["ha/sensor/c/camera_1/config", "p/1/count"]);
        assert_eq!(second[1], count);
        queue.note(1, 4, None);
        assert!(said(&mut news, &queue, start + COUNT_INTERVAL / 2).is_empty());
        assert_eq!(news.next(start), start + COUNT_INTERVAL);
        assert_eq!(topics(&said(&mut news, &queue, start + COUNT_INTERVAL)), ["p/1/count"]);
        let stats = said(&mut news, &queue, start + STATS_INTERVAL);
        assert_eq!((topics(&stats), stats[0].2), (vec!["p/stats".to_owned()], false));
        // Another model of the same run.
        let began = |status: &str| status[status.find("\"started\"").unwrap()..].to_owned();
        std::thread::sleep(Duration::from_millis(5));
        queue.describe(OutputSchema { bundle: "other".into(), ..OutputSchema::default() }, b"{1}".to_vec());
        let other = said(&mut news, &queue, start + STATS_INTERVAL);
        assert!(other[0].1.contains("\"bundle\":\"other\"") && other[1].1 == "{1}" && other.len() == 5, "{other:?}");
        assert_eq!(began(&other[0].1), began(&first[0].1));
        // A new connection.
        news.begin();
        assert_eq!(said(&mut news, &queue, start + STATS_INTERVAL).len(), 5);
    }
}
