//! The newest image with poses on it, for whoever watches.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::metrics::Metrics;
use crate::geometry::Size;
use crate::pixels::ImageBuffer;
use crate::pixels::rgb::to_rgb;
use crate::pose::Poses;
use crate::sink::canvas::Canvas;
use crate::sink::paint::Painter;
use crate::sink::scale::{move_poses, resize};
use crate::sink::{FrameResult, image};

/// Most columns of an image; a larger one is scaled down.
const MOST_COLUMNS: usize = 640;
/// JPEG quality; an image is looked at for a tenth of a second.
const JPEG_QUALITY: u8 = 80;

/// Takes frames from one thread, encodes them in another, and gives them to any number of watchers.
pub(super) struct Preview {
    painter: Painter,
    watchers: AtomicUsize,
    state: Mutex<State>,
    /// A frame was offered, or it is over.
    offered: Condvar,
    /// An image was encoded, or it is over.
    encoded: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest frame, until it is encoded.
    newest: Option<Box<Shot>>,
    /// Memory for the next.
    spare: Option<Box<Shot>>,
    jpeg: Arc<Vec<u8>>,
    /// How many were encoded.
    number: u64,
    over: bool,
}

/// A frame and its poses, in their own memory.
#[derive(Default)]
struct Shot {
    image: ImageBuffer,
    poses: Poses,
}

/// Somebody who watches, as long as this lives.
pub(super) struct Watcher<'a> {
    preview: &'a Preview,
    /// The last image that it knows.
    number: u64,
}

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preview").field("watchers", &self.watchers).finish_non_exhaustive()
    }
}

impl Preview {
    pub fn new(painter: Painter) -> Self {
        Self {
            painter,
            watchers: AtomicUsize::new(0),
            state: Mutex::default(),
            offered: Condvar::new(),
            encoded: Condvar::new(),
        }
    }

    // Whole images are put in and taken out under the lock; a thread that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Whether anybody does.
    pub fn is_watched(&self) -> bool {
        self.watchers() > 0
    }

    /// Watches from now on, unless `most` do already.
    pub fn watch(&self, most: usize) -> Option<Watcher<'_>> {
        let more = |watchers| (watchers < most).then_some(watchers + 1);
        self.watchers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Watcher { preview: self, number: self.lock().number })
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Copies a frame for the encoder; one that it has not begun yet is replaced.
    pub fn offer(&self, result: &FrameResult<'_>) {
        let memory = {
            let mut state = self.lock();
            state.newest.take().or_else(|| state.spare.take())
        };
        // Filled outside of the lock: nobody waits for a copy.
        let mut shot = memory.unwrap_or_default();
        shot.image.fill(result.frame.image);
        shot.poses.clone_from(result.poses);
        self.lock().newest = Some(shot);
        self.offered.notify_one();
    }

    /// Ends the encoder and the waiting.
    pub fn end(&self) {
        self.lock().over = true;
        self.offered.notify_all();
        self.encoded.notify_all();
    }

    /// Encodes what is offered, until it is over.
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
                drop(state);
                self.encoded.notify_all();
            }
        }
    }

    /// Scales, draws, encodes.
    fn encode(&self, shot: &mut Shot, rgb: &mut Vec<u8>, scaled: &mut Vec<u8>) -> Option<Vec<u8>> {
        let view = shot.image.view().ok()?;
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
        self.painter.draw(&mut Canvas::new(pixels, size)?, &shot.poses.list);
        let mut jpeg = Vec::with_capacity(pixels.len() / 8);
        match image::write_jpeg(&mut jpeg, size, pixels, JPEG_QUALITY, "preview") {
            Ok(()) => Some(jpeg),
            Err(error) => {
                tracing::debug!("{error}");
                None
            }
        }
    }
}

impl Watcher<'_> {
    /// The next image; `None` where none comes in time, or it is over.
    pub fn next(&mut self, timeout: Duration) -> Option<Arc<Vec<u8>>> {
        let known = self.number;
        let waiting = |state: &mut State| state.number <= known && !state.over;
        let (state, _) = (self.preview.encoded.wait_timeout_while(self.preview.lock(), timeout, waiting))
            .unwrap_or_else(PoisonError::into_inner);
        self.number = state.number;
        (state.number > known).then(|| Arc::clone(&state.jpeg))
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.preview.watchers.fetch_sub(1, Ordering::Relaxed);
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
