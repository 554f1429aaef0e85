//! Zones and lines with their names, what was counted in them, and how it is written.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::pose::Poses;
use crate::track::zones::{Anchor, EventKind, Line, LineCounts, Zone, ZoneCounts, Zones};

/// A zone and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedZone {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// Its geometry.
    pub zone: Zone,
}

/// A line and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedLine {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// Its geometry.
    pub line: Line,
}

/// The zones and lines of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZoneSetup {
    /// The zones.
    pub zones: Vec<NamedZone>,
    /// The lines.
    pub lines: Vec<NamedLine>,
    /// Which point of a pose counts.
    pub anchor: Anchor,
}

impl ZoneSetup {
    /// Whether there are neither zones nor lines.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty() && self.lines.is_empty()
    }
}

/// Counts in the zones and over the lines of one camera.
#[derive(Debug, Clone)]
pub struct ZoneCounter {
    setup: Arc<ZoneSetup>,
    counted: Zones,
}

impl ZoneCounter {
    /// A counter that has seen nothing.
    ///
    /// # Errors
    /// If there are too many zones or lines.
    pub fn new(setup: &Arc<ZoneSetup>) -> Result<Self, &'static str> {
        let zones: Vec<Zone> = setup.zones.iter().map(|named| named.zone.clone()).collect();
        let lines: Vec<Line> = setup.lines.iter().map(|named| named.line).collect();
        Ok(Self { setup: Arc::clone(setup), counted: Zones::new(&zones, &lines, setup.anchor)? })
    }

    /// Processes the tracked poses of the next frame; `is_followed` tells whether the track of an identity continues.
    pub fn update(&mut self, tracked: &Poses, is_followed: impl Fn(u32) -> bool) {
        self.counted.update(tracked, is_followed);
    }

    /// Events of the last frame that are counted, but not listed.
    pub fn omitted(&self) -> u32 {
        self.counted.omitted()
    }

    /// `zones`, `lines` and `events` of a frame's line.
    pub fn written(&self) -> (ZoneList<'_>, LineList<'_>, EventList<'_>) {
        (ZoneList(self), LineList(self), EventList(self))
    }
}

/// The counts of all zones, as an array.
#[derive(Debug)]
pub struct ZoneList<'a>(&'a ZoneCounter);
/// The counts of all lines, as an array.
#[derive(Debug)]
pub struct LineList<'a>(&'a ZoneCounter);
/// What happened in the last frame, as an array.
#[derive(Debug)]
pub struct EventList<'a>(&'a ZoneCounter);

#[derive(Serialize)]
struct ZoneObject<'a> {
    name: &'a str,
    inside: u32,
    entered: u64,
    left: u64,
    lost: u64,
}

#[derive(Serialize)]
struct LineObject<'a> {
    name: &'a str,
    right: u64,
    left: u64,
}

#[derive(Serialize)]
struct EventObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    id: u32,
    event: &'static str,
}

impl Serialize for ZoneList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.setup.zones.len()))?;
        for (NamedZone { name, .. }, counts) in self.0.setup.zones.iter().zip(self.0.counted.zones()) {
            let ZoneCounts { inside, entered, left, lost } = counts;
            list.serialize_element(&ZoneObject { name, inside, entered, left, lost })?;
        }
        list.end()
    }
}

impl Serialize for LineList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.setup.lines.len()))?;
        for (NamedLine { name, .. }, LineCounts { right, left }) in
            self.0.setup.lines.iter().zip(self.0.counted.lines())
        {
            list.serialize_element(&LineObject { name, right, left })?;
        }
        list.end()
    }
}

impl Serialize for EventList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let events = self.0.counted.events();
        let mut list = serializer.serialize_seq(Some(events.len()))?;
        for event in events {
            let zone = self.0.setup.zones.get(event.place).map(|named| named.name.as_str());
            let line = self.0.setup.lines.get(event.place).map(|named| named.name.as_str());
            let (zone, line, kind) = match event.kind {
                EventKind::Enter => (zone, None, "enter"),
                EventKind::Leave => (zone, None, "leave"),
                EventKind::Lost => (zone, None, "lost"),
                EventKind::Right => (None, line, "right"),
                EventKind::Left => (None, line, "left"),
            };
            list.serialize_element(&EventObject { zone, line, id: event.id, event: kind })?;
        }
        list.end()
    }
}

/// Tracks, zones and lines of a run, read while it goes on.
#[derive(Debug, Default)]
pub struct TrackCounts {
    active: AtomicU64,
    started: AtomicU64,
    zones: OnceLock<ZoneTotals>,
}

impl TrackCounts {
    /// Current tracks with an identity, including missing ones, summed over the cameras.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Identities given so far, summed over the cameras.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Replaces both.
    pub fn set(&self, active: u64, started: u64) {
        self.active.store(active, Ordering::Relaxed);
        self.started.store(started, Ordering::Relaxed);
    }

    /// What was counted in zones and over lines; `None` if there are none.
    pub fn zones(&self) -> Option<&ZoneTotals> {
        self.zones.get()
    }

    /// Makes room for the counts of this many cameras. Only the first call has an effect.
    pub fn add_zones(&self, setup: &Arc<ZoneSetup>, cameras: usize) {
        self.zones.get_or_init(|| ZoneTotals {
            setup: Arc::clone(setup),
            cameras: (0..cameras).map(|_| CameraTotals::new(setup)).collect(),
        });
    }

    /// Replaces the counts of a camera.
    pub fn set_zones(&self, camera: usize, counter: &ZoneCounter) {
        let Some(totals) = self.zones.get().and_then(|zones| zones.cameras.get(camera)) else { return };
        for (into, counts) in totals.zones.iter().zip(counter.counted.zones()) {
            let ZoneCounts { inside, entered, left, lost } = counts;
            for (into, count) in into.iter().zip([u64::from(inside), entered, left, lost]) {
                into.store(count, Ordering::Relaxed);
            }
        }
        for (into, LineCounts { right, left }) in totals.lines.iter().zip(counter.counted.lines()) {
            for (into, count) in into.iter().zip([right, left]) {
                into.store(count, Ordering::Relaxed);
            }
        }
    }
}

/// What was counted in zones and over lines, by camera.
#[derive(Debug)]
pub struct ZoneTotals {
    setup: Arc<ZoneSetup>,
    cameras: Vec<CameraTotals>,
}

#[derive(Debug)]
struct CameraTotals {
    /// Inside, entered, left, lost.
    zones: Vec<[AtomicU64; 4]>,
    /// To the right, to the left.
    lines: Vec<[AtomicU64; 2]>,
}

impl CameraTotals {
    fn new(setup: &ZoneSetup) -> Self {
        Self {
            zones: setup.zones.iter().map(|_| Default::default()).collect(),
            lines: setup.lines.iter().map(|_| Default::default()).collect(),
        }
    }
}

impl ZoneTotals {
    /// Camera number, zone name and counts of every camera and zone.
    pub fn zones(&self) -> impl Iterator<Item = (usize, &str, ZoneCounts)> {
        let read = |counts: &[AtomicU64; 4]| {
            let [inside, entered, left, lost] = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            ZoneCounts { inside: inside as u32, entered, left, lost }
        };
        self.cameras.iter().enumerate().flat_map(move |(camera, totals)| {
            let named = self.setup.zones.iter().zip(&totals.zones);
            named.map(move |(named, counts)| (camera, named.name.as_str(), read(counts)))
        })
    }

    /// The same for every camera and line.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str, LineCounts)> {
        let read = |counts: &[AtomicU64; 2]| {
            let [right, left] = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            LineCounts { right, left }
        };
        self.cameras.iter().enumerate().flat_map(move |(camera, totals)| {
            let named = self.setup.lines.iter().zip(&totals.lines);
            named.map(move |(named, counts)| (camera, named.name.as_str(), read(counts)))
        })
    }
}
