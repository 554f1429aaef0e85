//! Counts people per zone and line crossings, by identity, in fixed memory.
//!
//! A person is represented by one point, their feet or their middle. Points jitter, so a side counts once the point is clearly
//! on it: by [`MARGIN`] of the pose's larger side.

use heapless::Vec;

use super::MAX_TRACKS;
use crate::geometry::Rectangle;
use crate::pose::{MAX_POSES, Pose, Poses};

/// Most zones.
pub const MAX_ZONES: usize = 8;
/// Most lines.
pub const MAX_LINES: usize = 8;
/// Most corners of a zone.
pub const MAX_CORNERS: usize = 32;
/// Most events listed per frame; further ones are only counted.
pub const MAX_EVENTS: usize = 64;
/// A point this near to a border, as a fraction of the larger side of its pose's box, stays on the side where it was.
pub const MARGIN: f32 = 0.02;

/// A point of the image, pixels.
pub type Point = (f32, f32);

/// Which point of a pose counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// The middle of the lower edge of the box around the keypoints: where a person stands.
    #[default]
    Feet,
    /// The middle of the box.
    Centre,
}

impl Anchor {
    /// The point of a box.
    fn of(self, bounds: &Rectangle) -> Point {
        let down = match self {
            Self::Feet => 1.0,
            Self::Centre => 0.5,
        };
        (bounds.x + 0.5 * bounds.width, bounds.y + down * bounds.height)
    }
}

/// A part of the image: a polygon, whose last corner is joined with the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    corners: Vec<Point, MAX_CORNERS>,
}

impl Zone {
    /// A zone with these corners.
    ///
    /// # Errors
    /// If there are fewer than 3 corners or more than [`MAX_CORNERS`], a number is not finite, or the area is 0.
    pub fn new(corners: &[Point]) -> Result<Self, &'static str> {
        if !(3..=MAX_CORNERS).contains(&corners.len()) {
            return Err("a zone has 3 to 32 corners");
        }
        if corners.iter().any(|corner| !(corner.0.is_finite() && corner.1.is_finite())) {
            return Err("the corners of a zone are finite numbers");
        }
        let (first, last) = (
            |of: fn(&Point) -> f32| corners.iter().map(of).fold(f32::INFINITY, f32::min),
            |of: fn(&Point) -> f32| corners.iter().map(of).fold(f32::NEG_INFINITY, f32::max),
        );
        if first(|corner| corner.0) >= last(|corner| corner.0) || first(|corner| corner.1) >= last(|corner| corner.1) {
            return Err("the corners of a zone lie on one line");
        }
        Ok(Self { corners: corners.iter().copied().collect() })
    }

    fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().copied().zip(next.copied())
    }

    /// Whether the point is inside: a ray from it crosses an odd number of edges.
    pub fn contains(&self, (x, y): Point) -> bool {
        let crossed =
            self.edges().filter(|&(a, b)| (a.1 > y) != (b.1 > y) && x < a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0));
        crossed.count() % 2 == 1
    }

    /// Squared distance of the point from the border.
    fn border(&self, point: Point) -> f32 {
        self.edges().map(|(a, b)| squared_distance(point, a, b)).fold(f32::INFINITY, f32::min)
    }
}

/// A line that people cross, from its first point to its second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    from: Point,
    to: Point,
}

impl Line {
    /// A line between two points.
    ///
    /// # Errors
    /// If a number is not finite, or the length is 0.
    pub fn new(from: Point, to: Point) -> Result<Self, &'static str> {
        if ![from.0, from.1, to.0, to.1].iter().all(|value| value.is_finite()) {
            return Err("the ends of a line are finite numbers");
        }
        if from == to {
            return Err("the ends of a line differ");
        }
        Ok(Self { from, to })
    }

    /// How far the point is to the right of the line, seen from its first point towards its second, pixels; negative on its
    /// left.
    fn right_of(&self, point: Point) -> f32 {
        let (x, y) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        turn(self.from, self.to, point) / libm::sqrtf(x * x + y * y)
    }

    /// Whether the way from `a` to `b`, which lie on different sides, leads between the ends.
    fn is_between(&self, a: Point, b: Point) -> bool {
        (turn(a, b, self.from) > 0.0) != (turn(a, b, self.to) > 0.0)
    }
}

/// Twice the area of a triangle: above 0 if `c` is to the right of the way from `a` to `b`, as rows count downwards.
fn turn(a: Point, b: Point, c: Point) -> f32 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

fn squared_distance(point: Point, a: Point, b: Point) -> f32 {
    let (x, y) = (b.0 - a.0, b.1 - a.1);
    let length = x * x + y * y;
    let along = if length > 0.0 { (((point.0 - a.0) * x + (point.1 - a.1) * y) / length).clamp(0.0, 1.0) } else { 0.0 };
    let (x, y) = (point.0 - a.0 - along * x, point.1 - a.1 - along * y);
    x * x + y * y
}

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A person entered the zone, or was first seen in it.
    Enter,
    /// A person left the zone.
    Leave,
    /// The track of a person inside the zone ended.
    Lost,
    /// The line was crossed from its left to its right.
    Right,
    /// The line was crossed from its right to its left.
    Left,
}

/// An event of this frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// Index of the zone or line.
    pub place: usize,
    /// Identity of the person.
    pub id: u32,
}

/// Counts of a zone; `entered` is `inside + left + lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZoneCounts {
    /// People in it now.
    pub inside: u32,
    /// People who entered, or were first seen in it.
    pub entered: u64,
    /// People who left.
    pub left: u64,
    /// People in it whose track ended.
    pub lost: u64,
}

/// Counts of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineCounts {
    /// Crossings to its right.
    pub right: u64,
    /// Crossings to its left.
    pub left: u64,
}

/// What is known of a person.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    id: u32,
    /// By zone.
    inside: [bool; MAX_ZONES],
    /// By line: the last point clearly on one side.
    before: [Option<Point>; MAX_LINES],
}

/// Counts people in zones and over lines, for one camera.
#[derive(Debug, Clone)]
pub struct Zones {
    anchor: Anchor,
    zones: Vec<(Zone, ZoneCounts), MAX_ZONES>,
    lines: Vec<(Line, LineCounts), MAX_LINES>,
    known: Vec<Known, MAX_TRACKS>,
    events: Vec<Event, MAX_EVENTS>,
    omitted: u32,
}

impl Zones {
    /// Counts in these zones and over these lines.
    ///
    /// # Errors
    /// If there are more than [`MAX_ZONES`] zones or [`MAX_LINES`] lines.
    pub fn new(zones: &[Zone], lines: &[Line], anchor: Anchor) -> Result<Self, &'static str> {
        if zones.len() > MAX_ZONES || lines.len() > MAX_LINES {
            return Err("there may be 8 zones and 8 lines");
        }
        Ok(Self {
            anchor,
            zones: zones.iter().map(|zone| (zone.clone(), ZoneCounts::default())).collect(),
            lines: lines.iter().map(|line| (*line, LineCounts::default())).collect(),
            known: Vec::new(),
            events: Vec::new(),
            omitted: 0,
        })
    }

    /// What happened in the last frame.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Events of the last frame that were counted, but are not among [`Zones::events`].
    pub fn omitted(&self) -> u32 {
        self.omitted
    }

    /// The counts of all zones, in their order.
    pub fn zones(&self) -> impl Iterator<Item = ZoneCounts> {
        self.zones.iter().map(|(_, counts)| *counts)
    }

    /// The counts of all lines, in their order.
    pub fn lines(&self) -> impl Iterator<Item = LineCounts> {
        self.lines.iter().map(|(_, counts)| *counts)
    }

    /// Processes the tracked poses of the next frame; `is_followed` tells whether the track of an identity continues.
    pub fn update(&mut self, tracked: &Poses, is_followed: impl Fn(u32) -> bool) {
        self.events.clear();
        self.omitted = 0;
        let mut index = 0;
        while let Some(known) = self.known.get(index).copied() {
            if is_followed(known.id) {
                index += 1;
                continue;
            }
            for place in (0..self.zones.len()).filter(|&place| known.inside[place]) {
                self.tell(EventKind::Lost, place, known.id);
            }
            self.known.swap_remove(index);
        }
        for pose in tracked.list.iter().take(MAX_POSES) {
            self.pose(pose);
        }
    }

    fn pose(&mut self, pose: &Pose) {
        let (Some(identity), Some(bounds)) = (pose.identity, pose.bounds()) else { return };
        let (point, margin) = (self.anchor.of(&bounds), MARGIN * bounds.width.max(bounds.height));
        if !(point.0.is_finite() && point.1.is_finite() && margin.is_finite()) {
            return;
        }
        let id = identity.id;
        let (place, is_new) = match self.known.iter().position(|known| known.id == id) {
            Some(place) => (place, false),
            None => {
                let known = Known { id, inside: [false; MAX_ZONES], before: [None; MAX_LINES] };
                // There are as many places as tracks.
                if self.known.push(known).is_err() {
                    return;
                }
                (self.known.len() - 1, true)
            }
        };
        for zone in 0..self.zones.len() {
            let shape = &self.zones[zone].0;
            let (inside, was) = (shape.contains(point), self.known[place].inside[zone]);
            if inside != was && (is_new || shape.border(point) >= margin * margin) {
                self.known[place].inside[zone] = inside;
                self.tell(if inside { EventKind::Enter } else { EventKind::Leave }, zone, id);
            }
        }
        for index in 0..self.lines.len() {
            let line = self.lines[index].0;
            let side = line.right_of(point);
            if side.abs() < margin || side == 0.0 {
                continue;
            }
            let before = self.known[place].before[index].replace(point);
            if let Some(before) = before.filter(|&before| (line.right_of(before) > 0.0) != (side > 0.0))
                && line.is_between(before, point)
            {
                self.tell(if side > 0.0 { EventKind::Right } else { EventKind::Left }, index, id);
            }
        }
    }

    fn tell(&mut self, kind: EventKind, place: usize, id: u32) {
        if let EventKind::Right | EventKind::Left = kind {
            let counts = &mut self.lines[place].1;
            let count = if kind == EventKind::Right { &mut counts.right } else { &mut counts.left };
            *count += 1;
        } else {
            let counts = &mut self.zones[place].1;
            match kind {
                EventKind::Enter => (counts.inside, counts.entered) = (counts.inside + 1, counts.entered + 1),
                EventKind::Leave => (counts.inside, counts.left) = (counts.inside.saturating_sub(1), counts.left + 1),
                _ => (counts.inside, counts.lost) = (counts.inside.saturating_sub(1), counts.lost + 1),
            }
        }
        if self.events.push(Event { kind, place, id }).is_err() {
            self.omitted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use core::time::Duration;
    use proptest::prelude::*;

    use super::*;
    use crate::pose::{Identity, Keypoint};

    /// A person whose feet are here, 100 pixels tall.
    fn person(id: u32, (x, y): Point) -> Pose {
        let corner = |x, y| Keypoint { x, y, score: 1.0 };
        Pose {
            keypoints: [corner(x - 10.0, y - 100.0), corner(x + 10.0, y)].into_iter().collect(),
            identity: Some(Identity { id, age: Duration::ZERO, seen: 1 }),
            ..Pose::default()
        }
    }

    fn frame(people: &[(u32, Point)]) -> Poses {
        Poses { list: people.iter().map(|&(id, point)| person(id, point)).collect(), dropped: 0 }
    }

    fn square() -> Zone {
        Zone::new(&[(0.0, 0.0), (200.0, 0.0), (200.0, 200.0), (0.0, 200.0)]).unwrap()
    }

    /// The events of a person who walks along these points.
    fn way(zones: &[Zone], lines: &[Line], points: &[Point]) -> (Vec<Vec<EventKind>>, Zones) {
        let mut counter = Zones::new(zones, lines, Anchor::Feet).unwrap();
        let events = points.iter().map(|&point| {
            counter.update(&frame(&[(1, point)]), |_| true);
            counter.events().iter().map(|event| event.kind).collect()
        });
        let events = events.collect();
        (events, counter)
    }

    #[test]
    fn who_goes_in_comes_out() {
        let (events, counter) = way(&[square()], &[], &[(-50.0, 100.0), (50.0, 100.0), (60.0, 100.0), (250.0, 100.0)]);
        assert_eq!(events, [&[][..], &[EventKind::Enter], &[], &[EventKind::Leave]]);
        let counts = counter.zones().next().unwrap();
        assert_eq!(counts, ZoneCounts { inside: 0, entered: 1, left: 1, lost: 0 });
    }

    #[test]
    fn who_shakes_on_the_border_is_counted_once() {
        let shaking: Vec<Point> = (0..50).map(|step| (200.0 + if step % 2 == 0 { 1.5 } else { -1.5 }, 100.0)).collect();
        let (events, _) = way(
            &[square()],
            &[Line::new((200.0, 0.0), (200.0, 200.0)).unwrap()],
            &[&[(100.0, 100.0)], &shaking[..]].concat(),
        );
        assert_eq!(events.concat(), [EventKind::Enter]);
    }

    #[test]
    fn who_is_lost_inside_is_not_inside() {
        let mut counter = Zones::new(&[square()], &[], Anchor::Centre).unwrap();
        counter.update(&frame(&[(1, (50.0, 150.0)), (2, (90.0, 150.0))]), |_| true);
        assert_eq!(counter.zones().next().unwrap().inside, 2);
        // Missing is not lost.
        counter.update(&frame(&[(2, (90.0, 150.0))]), |_| true);
        assert_eq!((counter.events().len(), counter.zones().next().unwrap().inside), (0, 2));
        counter.update(&frame(&[(2, (90.0, 150.0))]), |id| id == 2);
        assert_eq!(counter.events(), [Event { kind: EventKind::Lost, place: 0, id: 1 }]);
        assert_eq!(counter.zones().next().unwrap(), ZoneCounts { inside: 1, entered: 2, left: 0, lost: 1 });
    }

    #[test]
    fn a_line_is_crossed_between_its_ends_in_both_directions() {
        let line = Line::new((100.0, 0.0), (100.0, 200.0)).unwrap();
        // Rows count downwards: seen downwards, a smaller x is to the right.
        let (events, counter) =
            way(&[], &[line], &[(150.0, 50.0), (50.0, 60.0), (150.0, 70.0), (150.0, 900.0), (50.0, 900.0)]);
        assert_eq!(events, [&[][..], &[EventKind::Right], &[EventKind::Left], &[], &[]]);
        assert_eq!(counter.lines().next().unwrap(), LineCounts { right: 1, left: 1 });
    }

    #[test]
    fn a_zone_need_not_be_convex() {
        let zone =
            Zone::new(&[(0.0, 0.0), (30.0, 0.0), (30.0, 30.0), (20.0, 30.0), (20.0, 10.0), (0.0, 10.0)]).unwrap();
        assert!(zone.contains((5.0, 5.0)) && zone.contains((25.0, 25.0)) && !zone.contains((10.0, 20.0)));
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        assert!(Zone::new(&[(0.0, 0.0), (1.0, 1.0)]).is_err());
        assert!(Zone::new(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]).is_err());
        assert!(Zone::new(&[(0.0, 0.0), (1.0, f32::NAN), (2.0, 0.0)]).is_err());
        assert!(Zone::new(&[(0.0, 0.0); 33]).is_err());
        assert!(Line::new((1.0, 1.0), (1.0, 1.0)).is_err() && Line::new((f32::INFINITY, 1.0), (1.0, 1.0)).is_err());
        assert!(Zones::new(&[], &[Line::new((0.0, 0.0), (1.0, 1.0)).unwrap(); 9], Anchor::Feet).is_err());
    }

    fn any_number() -> impl Strategy<Value = f32> {
        prop_oneof![4 => -50.0..300.0_f32, 1 => any::<f32>()]
    }

    proptest! {
        #[test]
        fn the_counts_add_up_whatever_comes(
            frames in proptest::collection::vec(proptest::collection::vec((1..9_u32, any_number(), any_number()), 0..9), 1..30),
            followed in any::<u32>(),
        ) {
            let line = Line::new((0.0, 100.0), (200.0, 120.0)).unwrap();
            let mut counter = Zones::new(&[square()], &[line], Anchor::Feet).unwrap();
            for people in frames {
                let people: Vec<_> = people.into_iter().map(|(id, x, y)| (id, (x, y))).collect();
                counter.update(&frame(&people), |id| followed >> (id % 32) & 1 == 1);
                let counts = counter.zones().next().unwrap();
                prop_assert_eq!(counts.entered, u64::from(counts.inside) + counts.left + counts.lost);
            }
        }
    }
}
