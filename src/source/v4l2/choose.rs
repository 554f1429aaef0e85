//! Chooses among the modes that a camera offers.

use super::four_cc::{FourCc, FrameEncoding};
use super::request::CaptureRequest;
use crate::geometry::Size;

/// The size that is requested by default.
pub(super) const SIZE: Size = Size::new(640, 480);
/// The rate that is requested by default, frames a second.
pub(super) const RATE: f64 = 30.0;

/// A format and size that a camera offers.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureMode {
    /// The format.
    pub format: FourCc,
    /// Pixels of a frame.
    pub size: Size,
    /// Frames a second, if the driver reports them.
    pub rates: Vec<f64>,
}

/// The order of preference of formats if nothing else decides: those that need no conversion first, grey last.
fn rank(usage: FrameEncoding) -> Option<u32> {
    use crate::pixels::PixelFormat;
    match usage {
        FrameEncoding::Pixels(PixelFormat::Grey) => Some(3),
        FrameEncoding::Pixels(_) => Some(0),
        FrameEncoding::Bgr => Some(1),
        FrameEncoding::Jpeg => Some(2),
        FrameEncoding::Bayer | FrameEncoding::Unknown => None,
    }
}

/// The best mode: of the requested format if there is one, then nearest in size, then fast enough, then by its format.
/// `None` if none can be used.
pub fn choose<'a>(offers: &'a [CaptureMode], wanted: &CaptureRequest) -> Option<&'a CaptureMode> {
    let size = wanted.size.unwrap_or(SIZE);
    let rate = wanted.rate.unwrap_or(RATE);
    let cost = |offer: &CaptureMode| {
        let rank = rank(offer.format.encoding())?;
        if wanted.format.is_some_and(|format| format != offer.format) {
            return None;
        }
        let ratio = |a: usize, b: usize| (a.max(1) as f64 / b.max(1) as f64).ln().abs();
        let distance = ratio(offer.size.width, size.width) + ratio(offer.size.height, size.height);
        // A driver that reports no rate may be fast enough; a little too slow is rounding.
        let fastest = offer.rates.iter().copied().fold(0.0, f64::max);
        let slow = if offer.rates.is_empty() || fastest > 0.98 * rate { 0.0 } else { 1.0 - fastest / rate };
        Some((distance, slow, rank))
    };
    let costs = offers.iter().filter_map(|offer| Some((cost(offer)?, offer)));
    let best = costs.min_by(|((a, b, c), _), ((d, e, f), _)| a.total_cmp(d).then(b.total_cmp(e)).then(c.cmp(f)));
    best.map(|(_, offer)| offer)
}

/// Whether a camera only offers a sensor's raw values.
pub fn is_raw_sensor(formats: &[FourCc]) -> bool {
    !formats.is_empty() && formats.iter().all(|format| format.encoding() == FrameEncoding::Bayer)
}

/// The size of a stepwise range that is nearest to what is wanted: least, most and step.
pub(super) fn within([least, most, step]: [u32; 3], wanted: usize) -> usize {
    let (least, most, step) = (least as usize, (most as usize).max(least as usize), (step as usize).max(1));
    let wanted = wanted.clamp(least, most);
    let below = least + (wanted - least) / step * step;
    if wanted - below > step / 2 && below + step <= most { below + step } else { below }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(format: &[u8; 4], width: usize, height: usize, rates: &[f64]) -> CaptureMode {
        CaptureMode { format: FourCc::new(*format), size: Size::new(width, height), rates: rates.to_vec() }
    }

    fn wanted(query: &str) -> CaptureRequest {
        CaptureRequest::parse(&format!("/dev/video0?{query}")).unwrap()
    }

    #[test]
    fn the_rate_decides_between_layouts() {
        // A common webcam: 720p raw at 9 frames a second, compressed at 60.
        let offers = [
            offer(b"YUYV", 640, 480, &[30.0, 15.0]),
            offer(b"YUYV", 1280, 720, &[9.0]),
            offer(b"MJPG", 640, 480, &[30.0]),
            offer(b"MJPG", 1280, 720, &[60.0, 30.0]),
        ];
        let chosen = |query| choose(&offers, &wanted(query)).unwrap();
        assert_eq!(chosen(""), &offers[0]);
        assert_eq!(chosen("size=1280x720"), &offers[3]);
        assert_eq!(chosen("size=1280x720&fps=9"), &offers[1]);
        assert_eq!(chosen("size=1280x720&format=YUYV"), &offers[1]);
        assert_eq!(chosen("size=1920x1080"), &offers[3]);
        assert_eq!(choose(&offers, &wanted("format=NV12")), None);
    }

    #[test]
    fn colour_is_better_than_none_and_raw_values_are_nothing() {
        let offers = [offer(b"RG10", 640, 480, &[]), offer(b"GREY", 640, 480, &[]), offer(b"MJPG", 640, 480, &[29.97])];
        assert_eq!(choose(&offers, &wanted("")), Some(&offers[2]));
        assert_eq!(choose(&offers[..1], &wanted("")), None);
        let formats: Vec<_> = offers.iter().map(|offer| offer.format).collect();
        assert!(is_raw_sensor(&formats[..1]) && !is_raw_sensor(&formats) && !is_raw_sensor(&[]));
    }

    #[test]
    fn ranges() {
        assert_eq!(within([48, 1920, 2], 640), 640);
        assert_eq!(within([48, 1920, 16], 650), 656);
        assert_eq!(within([48, 1920, 16], 5000), 1920);
        assert_eq!(within([48, 100, 30], 100), 78);
        assert_eq!(within([64, 32, 0], 1), 64);
    }
}
