//! Topics, and the payloads of messages besides results.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::super::OutputSchema;
use super::super::broker_counts::BrokerCounts;
use super::queue::CameraState;

/// Payloads of [`Topics::available`].
pub(super) const ONLINE: &[u8] = b"online";
pub(super) const OFFLINE: &[u8] = b"offline";

/// Names of all topics.
#[derive(Debug)]
pub(super) struct Topics {
    pub prefix: String,
    pub available: String,
    pub status: String,
    pub header: String,
    pub stats: String,
    cameras: Vec<CameraTopics>,
}

/// Topics of a camera.
#[derive(Debug, Clone)]
pub(super) struct CameraTopics {
    pub poses: String,
    pub count: String,
}

impl Topics {
    /// Topics that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        let of = |name| format!("{prefix}/{name}");
        Self {
            available: of("available"),
            status: of("status"),
            header: of("header"),
            stats: of("stats"),
            cameras: Vec::new(),
            prefix: prefix.to_owned(),
        }
    }

    /// Those of a camera.
    pub fn camera(&mut self, camera: usize) -> &CameraTopics {
        while self.cameras.len() <= camera {
            let of = |name| format!("{}/{}/{name}", self.prefix, self.cameras.len());
            self.cameras.push(CameraTopics { poses: of("poses"), count: of("count") });
        }
        &self.cameras[camera]
    }
}

/// `PREFIX/status`: the program that sends.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    sinew: &'static str,
    model: &'a str,
    bundle: &'a str,
    host: Option<&'a str>,
    device: Option<&'a str>,
    client: &'a str,
    /// Seconds since 1970.
    started: f64,
}

impl<'a> Status<'a> {
    pub fn new(schema: &'a OutputSchema, client: &'a str, started: f64) -> Self {
        Self {
            sinew: env!("CARGO_PKG_VERSION"),
            model: &schema.model,
            bundle: &schema.bundle,
            host: schema.host.as_deref(),
            device: schema.device.as_deref(),
            client,
            started,
        }
    }
}

/// `PREFIX/stats`: statistics of the last seconds.
#[derive(Debug, Serialize)]
pub(super) struct Stats {
    utc: f64,
    uptime: f64,
    cameras: Vec<CameraStats>,
    mqtt: MqttStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

#[derive(Debug, Serialize)]
struct CameraStats {
    camera: usize,
    frames: u64,
    /// Results a second since the last statistics.
    fps: f64,
    poses: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<f64>,
}

#[derive(Debug, Serialize)]
struct MqttStats {
    sent: u64,
    dropped: u64,
    waiting: u64,
    spooled: u64,
    connections: u64,
}

/// Seconds, to the millisecond.
fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

/// Seconds since 1970 by the system's clock.
pub(super) fn utc() -> f64 {
    seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl Stats {
    /// After `uptime`, with what `before`, `since` ago, has changed to `now`.
    pub fn new(
        uptime: Duration,
        since: Duration,
        before: &[CameraState],
        now: &[CameraState],
        counts: &BrokerCounts,
        temperature: Option<f32>,
    ) -> Self {
        let camera = |(camera, state): (usize, &CameraState)| {
            let frames = state.frames - before.get(camera).map_or(0, |before| before.frames);
            let fps = (frames as f64 / since.as_secs_f64().max(1e-3) * 10.0).round() / 10.0;
            CameraStats { camera, frames: state.frames, fps, poses: state.poses, age: state.age.map(seconds) }
        };
        Self {
            utc: utc(),
            uptime: seconds(uptime),
            cameras: now.iter().enumerate().map(camera).collect(),
            mqtt: MqttStats {
                sent: counts.sent(),
                dropped: counts.dropped(),
                waiting: counts.waiting(),
                spooled: counts.spooled(),
                connections: counts.connections(),
            },
            temperature,
        }
    }
}

/// As JSON; these have no value that cannot be written.
pub(super) fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_camera_has_its_topics() {
        let mut topics = Topics::new("sinew/gate");
        assert_eq!(topics.camera(2).poses, "sinew/gate/2/poses");
        assert_eq!(topics.camera(0).count, "sinew/gate/0/count");
        assert_eq!(topics.available, "sinew/gate/available");
    }

    #[test]
    fn rates_are_of_the_last_interval() {
        let before = [CameraState { frames: 100, poses: 1, age: None }];
        let now = [
            CameraState { frames: 400, poses: 2, age: Some(Duration::from_millis(41)) },
            CameraState { frames: 5, poses: 0, age: None },
        ];
        let ten = Duration::from_secs(10);
        let stats = Stats::new(10 * ten, ten, &before, &now, &BrokerCounts::default(), None);
        let value: serde_json::Value = serde_json::from_slice(&json(&stats)).unwrap();
        assert_eq!(
            value["cameras"][0],
            serde_json::json!({"camera": 0, "frames": 400, "fps": 30.0, "poses": 2, "age": 0.041})
        );
        assert_eq!(value["cameras"][1], serde_json::json!({"camera": 1, "frames": 5, "fps": 0.5, "poses": 0}));
        assert_eq!((&value["uptime"], value.get("temperature")), (&serde_json::json!(100.0), None));
    }
}
