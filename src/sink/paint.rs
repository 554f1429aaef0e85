//! Draws poses onto a canvas: bones in the colour of their identity, or else of their limb and side, keypoints by
//! confidence, the pose's score.

use core::fmt::{self, Write as _};

use embedded_graphics::Drawable as _;
use embedded_graphics::draw_target::DrawTarget as _;
use embedded_graphics::geometry::{OriginDimensions as _, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, ascii};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::primitives::{Circle, Line, Primitive as _, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};

use super::canvas::{Canvas, Enlarged};
use super::{Category, OutputSchema};
use crate::pose::{Keypoint, Pose};

/// Opacity of the faintest keypoint that is still drawn.
const FAINTEST: f32 = 0.3;
/// Opacity of the dark rim that sets bones and keypoints off from the image.
const RIM: f32 = 0.45;
/// The short side, in pixels, of an image whose bones are one pixel wide.
const IMAGE_PER_BONE: f32 = 150.0;
/// The diagonal, in pixels, of a pose whose bones are one pixel wide: small people get thin bones.
const POSE_PER_BONE: f32 = 40.0;

/// Draws poses of some kinds.
#[derive(Debug, Clone)]
pub struct Painter {
    looks: Vec<Look>,
    keypoint_threshold: f32,
}

/// How poses of one kind are drawn.
#[derive(Debug, Clone)]
struct Look {
    /// Written above every pose; empty if there is only one kind.
    name: String,
    edges: Vec<(usize, usize)>,
    edge_colors: Vec<Rgb888>,
    keypoint_colors: Vec<Rgb888>,
}

impl Look {
    fn new(kind: &Category, named: bool) -> Self {
        let parts: Vec<Part> = kind.keypoints.iter().map(|name| Part::of(name)).collect();
        let edges: Vec<(usize, usize)> = (kind.skeleton.edges.iter())
            .map(|&(a, b)| (usize::from(a), usize::from(b)))
            .filter(|&(a, b)| a < parts.len() && b < parts.len())
            .collect();
        // Objects that are not bodies get a colour per keypoint, by its index.
        let body = parts.iter().any(|part| part.limb != Limb::Trunk);
        let count = parts.len();
        let color = |index: usize, part: Part| if body { part.color() } else { hue(index, count) };
        let edge_colors = edges.iter().map(|&(a, b)| color(a, parts[a].joined(parts[b]))).collect();
        let keypoint_colors = parts.iter().enumerate().map(|(index, &part)| color(index, part)).collect();
        let name = if named { kind.name.clone() } else { String::new() };
        Self { name, edges, edge_colors, keypoint_colors }
    }
}

impl Painter {
    /// A painter for the poses that `schema` describes; keypoints below `keypoint_threshold`, and their bones, are not drawn.
    pub fn new(schema: &OutputSchema, keypoint_threshold: f32) -> Self {
        let mut painter = Self { looks: Vec::new(), keypoint_threshold };
        painter.describe(schema);
        painter
    }

    /// The poses that follow are those that `schema` describes.
    pub fn describe(&mut self, schema: &OutputSchema) {
        self.looks = schema.categories.iter().map(|kind| Look::new(kind, schema.templates)).collect();
    }

    /// Draws `poses`, the last one lowest, so that the best stay visible.
    pub fn draw(&self, canvas: &mut Canvas<'_>, poses: &[Pose]) {
        for pose in poses.iter().rev() {
            self.draw_pose(canvas, pose);
        }
        for pose in poses.iter().rev() {
            self.draw_label(canvas, pose);
        }
        canvas.set_opacity(1.0);
    }

    fn draw_pose(&self, canvas: &mut Canvas<'_>, pose: &Pose) {
        let Some(look) = self.looks.get(usize::from(pose.template)) else { return };
        let best = pose.keypoints.iter().map(|keypoint| keypoint.score).fold(0.0, f32::max);
        let width = bone_width(canvas.size(), pose);
        let rim = 2 * (width / 4.0).ceil() as u32;
        let stroke = width.round() as u32;
        let visible = |index: usize| pose.keypoints.get(index).filter(|keypoint| self.shows(keypoint));
        let bones = (look.edges.iter().zip(&look.edge_colors))
            .filter_map(|(&(a, b), &color)| Some((Bone::new(visible(a)?, visible(b)?, best), color)));
        for (bone, _) in bones.clone() {
            bone.draw(canvas, stroke + rim, Rgb888::BLACK, RIM);
        }
        let tint = pose.identity.map(|identity| identity_color(identity.id));
        for (bone, color) in bones {
            bone.draw(canvas, stroke, tint.unwrap_or(color), 1.0);
        }
        for (keypoint, color) in pose.keypoints.iter().zip(&look.keypoint_colors) {
            if !self.shows(keypoint) {
                continue;
            }
            let confidence = relative(keypoint.score, best);
            let diameter = (width * (1.0 + 1.2 * confidence)).round().max(2.0) as u32;
            let opacity = FAINTEST + (1.0 - FAINTEST) * confidence;
            draw_disc(canvas, keypoint, diameter + rim, Rgb888::BLACK, RIM * opacity);
            draw_disc(canvas, keypoint, diameter, lighter(tint.unwrap_or(*color)), opacity);
        }
    }

    fn shows(&self, keypoint: &Keypoint) -> bool {
        keypoint.x.is_finite() && keypoint.y.is_finite() && keypoint.score >= self.keypoint_threshold
    }

    /// The pose's score, and its identity where it has one, above its box.
    fn draw_label(&self, canvas: &mut Canvas<'_>, pose: &Pose) {
        let Some(bounds) = pose.bounds() else { return };
        let name = self.looks.get(usize::from(pose.template)).map_or("", |look| &look.name);
        let text = Label { name, id: pose.identity.map(|identity| identity.id), score: pose.score };
        let size = canvas.size();
        let (font, factor) = letters(size);
        let letter = font.character_size * factor;
        let margin = 1 + letter.height / 8;
        let label = Size::new(letter.width * text.length() + 2 * margin, letter.height + 2 * margin);
        let right = size.width.saturating_sub(label.width) as f32;
        let bottom = size.height.saturating_sub(label.height) as f32;
        let left = bounds.x + (bounds.width - label.width as f32) / 2.0;
        let top = bounds.y - 1.5 * letter.height as f32 - 2.0 * margin as f32;
        let corner = Point::new(left.clamp(0.0, right) as i32, top.clamp(0.0, bottom) as i32);

        canvas.set_opacity(0.6);
        let Ok(()) = canvas.fill_solid(&Rectangle::new(corner, label), Rgb888::BLACK);
        canvas.set_opacity(1.0);
        let origin = corner + Point::new(margin as i32, margin as i32);
        let mut pen = Pen { target: Enlarged::new(canvas, origin, factor), next: Point::zero(), font };
        // Neither text nor canvas fails.
        let _ = write!(pen, "{text}");
    }
}

/// The text above a pose, formatted while it is drawn so that nothing is allocated.
struct Label<'a> {
    /// Empty where there is only one kind.
    name: &'a str,
    id: Option<u32>,
    score: f32,
}

impl Label<'_> {
    /// Letters of the text.
    fn length(&self) -> u32 {
        struct Count(u32);
        impl fmt::Write for Count {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0 += text.len() as u32;
                Ok(())
            }
        }
        let mut count = Count(0);
        let _ = write!(count, "{self}");
        count.0
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{} ", self.name)?;
        }
        if let Some(id) = self.id {
            write!(f, "{id} ")?;
        }
        write!(f, "{:.2}", self.score)
    }
}

/// Draws text as it is written.
struct Pen<'a, 'b> {
    target: Enlarged<'a, Canvas<'b>>,
    /// Where the next letter goes.
    next: Point,
    font: &'static MonoFont<'static>,
}

impl fmt::Write for Pen<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let style = MonoTextStyle::new(self.font, Rgb888::WHITE);
        let Ok(next) = Text::with_baseline(text, self.next, style, Baseline::Top).draw(&mut self.target);
        self.next = next;
        Ok(())
    }
}

/// A line between two keypoints.
struct Bone {
    from: (f32, f32),
    to: (f32, f32),
    opacity: f32,
}

impl Bone {
    fn new(from: &Keypoint, to: &Keypoint, best: f32) -> Self {
        let confidence = relative(from.score.min(to.score), best);
        let opacity = FAINTEST + (1.0 - FAINTEST) * confidence;
        Self { from: (from.x, from.y), to: (to.x, to.y), opacity }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, width: u32, color: Rgb888, opacity: f32) {
        let Some((from, to)) = clip(self.from, self.to, canvas.size(), width as f32) else { return };
        canvas.set_opacity(self.opacity * opacity);
        let style = PrimitiveStyle::with_stroke(color, width);
        let Ok(()) = Line::new(pixel(from), pixel(to)).into_styled(style).draw(canvas);
    }
}

fn draw_disc(canvas: &mut Canvas<'_>, keypoint: &Keypoint, diameter: u32, color: Rgb888, opacity: f32) {
    let (margin, size) = (diameter as f32, canvas.size());
    let inside = keypoint.x > -margin
        && keypoint.y > -margin
        && keypoint.x < size.width as f32 + margin
        && keypoint.y < size.height as f32 + margin;
    if inside {
        canvas.set_opacity(opacity);
        let circle = Circle::with_center(pixel((keypoint.x, keypoint.y)), diameter);
        let Ok(()) = circle.into_styled(PrimitiveStyle::with_fill(color)).draw(canvas);
    }
}

fn pixel((x, y): (f32, f32)) -> Point {
    Point::new(x.round() as i32, y.round() as i32)
}

/// The part of a segment that can touch an image when it is drawn `width` wide (Liang and Barsky's clipping).
///
/// A keypoint may lie far outside the image, and a line is drawn pixel by pixel.
fn clip(from: (f32, f32), to: (f32, f32), size: Size, width: f32) -> Option<((f32, f32), (f32, f32))> {
    let (low, high) = ((-width, -width), (size.width as f32 + width, size.height as f32 + width));
    let step = (to.0 - from.0, to.1 - from.1);
    let (mut enter, mut leave) = (0.0_f32, 1.0_f32);
    for (start, step, low, high) in [(from.0, step.0, low.0, high.0), (from.1, step.1, low.1, high.1)] {
        if step == 0.0 {
            if start < low || start > high {
                return None;
            }
            continue;
        }
        let (first, second) = ((low - start) / step, (high - start) / step);
        enter = enter.max(first.min(second));
        leave = leave.min(first.max(second));
    }
    let at = |t: f32| (from.0 + t * step.0, from.1 + t * step.1);
    (enter <= leave).then(|| (at(enter), at(leave)))
}

/// Width of a bone in pixels: it grows with the image, but a small person is not buried under it.
fn bone_width(image: Size, pose: &Pose) -> f32 {
    let by_image = image.width.min(image.height) as f32 / IMAGE_PER_BONE;
    let by_pose = pose.bounds().map_or(1.0, |bounds| bounds.width.hypot(bounds.height) / POSE_PER_BONE);
    by_image.min(by_pose).max(1.0)
}

/// A score as a fraction of the pose's best, as the meaning of scores differs between models.
fn relative(score: f32, best: f32) -> f32 {
    if best > 0.0 { (score / best).clamp(0.0, 1.0) } else { 0.0 }
}

/// The font and its magnification for an image of this size.
fn letters(image: Size) -> (&'static MonoFont<'static>, u32) {
    match image.width.min(image.height) {
        0..200 => (&ascii::FONT_4X6, 1),
        200..400 => (&ascii::FONT_6X10, 1),
        400..720 => (&ascii::FONT_8X13, 1),
        720..1440 => (&ascii::FONT_10X20, 1),
        short => (&ascii::FONT_10X20, short / 720),
    }
}

/// One of `count` colours around the wheel.
fn hue(index: usize, count: usize) -> Rgb888 {
    let turn = 6.0 * index as f32 / count.max(1) as f32;
    let channel = |shift: f32| {
        let around = (turn + shift).rem_euclid(6.0);
        let value = ((around - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        (60.0 + 195.0 * value) as u8
    };
    Rgb888::new(channel(0.0), channel(4.0), channel(2.0))
}

/// The colour of an identity: consecutive ones are far apart on the wheel.
fn identity_color(id: u32) -> Rgb888 {
    const AROUND: usize = 997;
    // Steps of the golden ratio keep close ids apart.
    hue((id as usize).wrapping_mul(616) % AROUND, AROUND)
}

fn lighter(color: Rgb888) -> Rgb888 {
    let lift = |value: u8| value / 2 + 128;
    Rgb888::new(lift(color.r()), lift(color.g()), lift(color.b()))
}

/// The body part of a keypoint, from its name: `left_wrist` is in the left arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    side: Side,
    limb: Limb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Middle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limb {
    Head,
    Arm,
    Leg,
    Trunk,
}

impl Part {
    fn of(name: &str) -> Self {
        let side = match name {
            name if name.starts_with("left") => Side::Left,
            name if name.starts_with("right") => Side::Right,
            _ => Side::Middle,
        };
        let contains = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let limb = if contains(&["nose", "eye", "ear", "head", "mouth"]) {
            Limb::Head
        } else if contains(&["shoulder", "elbow", "wrist", "hand"]) {
            Limb::Arm
        } else if contains(&["hip", "knee", "ankle", "foot", "toe", "heel"]) {
            Limb::Leg
        } else {
            Limb::Trunk
        };
        Self { side, limb }
    }

    /// The part of a bone between two keypoints.
    fn joined(self, other: Self) -> Self {
        let side = if self.side == other.side { self.side } else { Side::Middle };
        let limb = match (self.limb, other.limb) {
            (a, b) if a == b && (side != Side::Middle || a == Limb::Head) => a,
            (Limb::Head, _) | (_, Limb::Head) => Limb::Head,
            _ => Limb::Trunk,
        };
        Self { side, limb }
    }

    fn color(self) -> Rgb888 {
        match (self.limb, self.side) {
            (Limb::Head, _) => Rgb888::new(250, 214, 70),
            (Limb::Trunk, Side::Middle) => Rgb888::new(110, 220, 130),
            (Limb::Trunk, Side::Left) => Rgb888::new(190, 210, 80),
            (Limb::Trunk, Side::Right) => Rgb888::new(60, 205, 180),
            (Limb::Arm, Side::Left) => Rgb888::new(255, 150, 30),
            (Limb::Leg, Side::Left) => Rgb888::new(255, 85, 85),
            (Limb::Arm, Side::Right) => Rgb888::new(40, 190, 255),
            (Limb::Leg, Side::Right) => Rgb888::new(110, 120, 255),
            (Limb::Arm | Limb::Leg, Side::Middle) => Rgb888::new(220, 120, 230),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> OutputSchema {
        let names = ["nose", "left_shoulder", "left_elbow", "right_shoulder", "right_elbow"];
        let edges = [(0, 1), (1, 2), (3, 4), (1, 3)];
        OutputSchema {
            categories: vec![Category {
                keypoints: names.map(str::to_owned).into(),
                skeleton: crate::pose::Skeleton { edges: edges.into_iter().collect() },
                ..Category::default()
            }],
            ..OutputSchema::default()
        }
    }

    const SIZE: crate::geometry::Size = crate::geometry::Size::new(64, 64);

    /// The image after drawing one pose on grey, keypoints given as x, y, score.
    fn drawn(threshold: f32, keypoints: [(f32, f32, f32); 5]) -> Vec<u8> {
        let keypoints = keypoints.map(|(x, y, score)| Keypoint { x, y, score });
        let pose = Pose { keypoints: keypoints.into_iter().collect(), score: 0.5, ..Pose::default() };
        let mut pixels = vec![100; 3 * 64 * 64];
        let mut canvas = Canvas::new(&mut pixels, SIZE).unwrap();
        Painter::new(&schema(), threshold).draw(&mut canvas, &[pose]);
        pixels
    }

    fn at(pixels: &[u8], x: usize, y: usize) -> [u8; 3] {
        let start = 3 * (64 * y + x);
        [pixels[start], pixels[start + 1], pixels[start + 2]]
    }

    const UPRIGHT: [(f32, f32, f32); 5] =
        [(32.0, 20.0, 1.0), (42.0, 30.0, 1.0), (42.0, 50.0, 1.0), (22.0, 30.0, 1.0), (22.0, 50.0, 1.0)];

    #[test]
    fn sides_have_their_own_colours() {
        let pixels = drawn(0.0, UPRIGHT);
        let [red, _, blue] = at(&pixels, 42, 40);
        assert!(red > 200 && blue < 100, "the left arm is warm");
        let [red, _, blue] = at(&pixels, 22, 40);
        assert!(blue > 200 && red < 100, "the right arm is cold");
        assert_eq!(at(&pixels, 5, 60), [100; 3], "nothing is drawn far from the pose");
    }

    #[test]
    fn doubtful_keypoints_are_faint_and_then_gone() {
        let mut doubtful = UPRIGHT;
        doubtful[2].2 = 0.1;
        let (sure, faint, gone) = (drawn(0.0, UPRIGHT), drawn(0.0, doubtful), drawn(0.2, doubtful));
        let distance = |pixels: &[u8]| i32::from(at(pixels, 42, 40)[0]) - 100;
        assert!(
            distance(&sure) > distance(&faint) && distance(&faint) > 20,
            "{} {}",
            distance(&sure),
            distance(&faint)
        );
        assert_eq!(at(&gone, 42, 40), [100; 3], "no bone");
        assert_eq!(at(&gone, 42, 50), [100; 3], "no keypoint");
        assert_ne!(at(&gone, 22, 40), [100; 3], "the other arm stays");
    }

    #[test]
    fn the_label_stands_above_the_pose() {
        let pixels = drawn(0.0, UPRIGHT);
        let bright = |rows: std::ops::Range<usize>| {
            rows.flat_map(|y| (0..64).map(move |x| (x, y))).filter(|&(x, y)| at(&pixels, x, y) == [255; 3]).count()
        };
        assert!(bright(0..19) > 10, "0.50 in white letters");
        assert_eq!(bright(55..64), 0);
    }

    #[test]
    fn far_and_broken_coordinates_do_no_harm() {
        let mut wild = UPRIGHT;
        wild[1] = (1e30, -1e30, 1.0);
        wild[2] = (f32::NAN, 3.0, 1.0);
        wild[4] = (22.0, 1e9, 1.0);
        let pixels = drawn(0.0, wild);
        assert_ne!(at(&pixels, 22, 63), [100; 3], "a bone is drawn to the border");
    }

    #[test]
    fn clipping_keeps_what_touches_the_image() {
        let size = Size::new(10, 10);
        assert_eq!(clip((2.0, 3.0), (7.0, 8.0), size, 0.0), Some(((2.0, 3.0), (7.0, 8.0))));
        assert_eq!(clip((-10.0, 5.0), (30.0, 5.0), size, 0.0), Some(((0.0, 5.0), (10.0, 5.0))));
        assert_eq!(clip((-10.0, 5.0), (-1.0, 5.0), size, 0.0), None);
        assert_eq!(clip((-10.0, 0.0), (0.0, -10.0), size, 0.0), None);
    }
}
