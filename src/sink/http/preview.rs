//! The newest image with its poses drawn, for the clients that watch.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::metrics::Metrics;
use crate::geometry::Size;
use crate::pixels::Image;
use crate::pixels::rgb::to_rgb;
use crate::pose::Poses;
use crate::sink::canvas::Canvas;
use crate::sink::paint::Painter;
use crate::sink::scale::{move_poses, resize};
use crate::sink::{FrameResult, OutputSchema, image};

/// Maximum width of an image, pixels; a wider one is scaled down.
const MOST_COLUMNS: usize = 640;
/// JPEG quality; an image is shown for a tenth of a second.
const JPEG_QUALITY: u8 = 80;

/// Takes frames from one thread, encodes them in another, and serves them to any number of viewers.
pub(super) struct Preview {
    painter: Mutex<Painter>,
    /// Whether there are images at all, or only metrics.
    pub has_images: bool,
    viewers: AtomicUsize,
    state: Mutex<State>,
    /// Signals that a frame was offered, or that the run is over.
    offered: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest frame, until it is encoded.
    newest: Option<Box<Shot>>,
    /// Memory for the next.
    spare: Option<Box<Shot>>,
    jpeg: Arc<Vec<u8>>,
    /// Number of images encoded so far.
    number: u64,
    over: bool,
}

/// A frame and its poses, in their own memory.
#[derive(Default)]
struct Shot {
    image: Image,
    poses: Poses,
}

/// A watching client, as long as this lives.
pub(super) struct Viewer {
    preview: Arc<Preview>,
    /// The last image that it has seen.
    number: u64,
}

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preview").field("viewers", &self.viewers).finish_non_exhaustive()
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Preview {
    pub fn new(painter: Painter, has_images: bool) -> Self {
        Self {
            painter: Mutex::new(painter),
            has_images,
            viewers: AtomicUsize::new(0),
            state: Mutex::default(),
            offered: Condvar::new(),
        }
    }

    fn painter(&self) -> MutexGuard<'_, Painter> {
        self.painter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws poses as `schema` describes them from now on.
    pub fn describe(&self, schema: &OutputSchema) {
        self.painter().describe(schema);
        // It is of the model before.
        self.lock().newest = None;
    }

    // Values are moved whole under the lock: a thread that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of clients that watch.
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Starts watching, unless `most` clients do already.
    pub fn watch(self: &Arc<Self>, most: usize) -> Option<Viewer> {
        let more = |viewers| (viewers < most).then_some(viewers + 1);
        self.viewers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Viewer { number: self.lock().number, preview: Arc::clone(self) })
    }

    /// Copies a frame to be encoded soon; one not encoded yet is replaced.
    pub fn offer(&self, result: &FrameResult<'_>) {
        let memory = {
            let mut state = self.lock();
            state.newest.take().or_else(|| state.spare.take())
        };
        // Copied outside of the lock.
        let mut shot = memory.unwrap_or_default();
        // Where another output has converted the frame already, that need not be done again.
        shot.image.copy_from(result.converted().unwrap_or(result.frame.image));
        shot.poses.clone_from(result.poses);
        self.lock().newest = Some(shot);
        self.offered.notify_one();
    }

    /// Ends the encoder.
    pub fn end(&self) {
        self.lock().over = true;
        self.offered.notify_all();
    }

    /// Encodes offered frames until the end.
    pub fn encode_all(&self, metrics: &Metrics) {
        let (mut rgb, mut scaled) = (Vec::new(), Vec::new());
        loop {
            let waiting = |state: &mut State| state.newest.is_none() && !state.over;
            let mut state = (self.offered.wait_while(self.lock(), waiting)).unwrap_or_else(PoisonError::into_inner);
            if state.over {
                return;
            }
            let Some(mut shot) = state.newest.take() else { continue };
            drop(state);
            let jpeg = self.encode(&mut shot, &mut rgb, &mut scaled);
            let mut state = self.lock();
            state.spare = Some(shot);
            if let Some(jpeg) = jpeg {
                metrics.encoded();
                state.jpeg = Arc::new(jpeg);
                state.number += 1;
            }
        }
    }

    /// Scales, draws, encodes.
    fn encode(&self, shot: &mut Shot, rgb: &mut Vec<u8>, scaled: &mut Vec<u8>) -> Option<Vec<u8>> {
        let view = shot.image.view();
        let from = view.size();
        to_rgb(view, rgb);
        let size = preview_size(from);
        let pixels = if size == from {
            rgb
        } else {
            resize(rgb, from, size, scaled);
            move_poses(&mut shot.poses.list, from, size);
            scaled
        };
        self.painter().draw(&mut Canvas::new(pixels, size)?, &shot.poses.list);
        let mut jpeg = Vec::with_capacity(pixels.len() / 8);
        match image::encode_jpeg(&mut jpeg, size, pixels, JPEG_QUALITY, "preview") {
            Ok(()) => Some(jpeg),
            Err(error) => {
                tracing::debug!("{error}");
                None
            }
        }
    }
}

impl Viewer {
    /// The newest image, if this viewer has not seen it yet.
    pub fn next(&mut self) -> Option<Arc<Vec<u8>>> {
        let state = self.preview.lock();
        let is_new = state.number > self.number;
        self.number = state.number;
        is_new.then(|| Arc::clone(&state.jpeg))
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.preview.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The size of the image that is shown.
fn preview_size(size: Size) -> Size {
    if size.width <= MOST_COLUMNS {
        return size;
    }
    let height = (size.height * MOST_COLUMNS + size.width / 2) / size.width;
    Size::new(MOST_COLUMNS, height.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wide_images_are_scaled() {
        assert_eq!(preview_size(Size::new(640, 480)), Size::new(640, 480));
        assert_eq!(preview_size(Size::new(480, 1000)), Size::new(480, 1000));
        assert_eq!(preview_size(Size::new(1920, 1080)), Size::new(640, 360));
        assert_eq!(preview_size(Size::new(10_000, 1)), Size::new(640, 1));
    }
}
