//! The best maxima of an upsampled map so far.

use heapless::Vec;

/// A plateau of equal maxima that touch, or a single one; pixels of the upsampled map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    pub value: f32,
    pub left: u32,
    pub right: u32,
    pub top: u32,
    pub bottom: u32,
}

impl Peak {
    pub(super) const fn pixel(x: u32, y: u32, value: f32) -> Self {
        Self { value, left: x, right: x, top: y, bottom: y }
    }

    /// The middle of its bounding box.
    pub(super) fn middle(&self) -> (u32, u32) {
        ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
    }

    /// Whether the two are equally high and touch.
    fn is_same_plateau(&self, other: &Self) -> bool {
        self.value == other.value
            && self.left <= other.right + 1
            && other.left <= self.right + 1
            && self.top <= other.bottom + 1
            && other.top <= self.bottom + 1
    }

    fn joined(self, other: &Self) -> Self {
        Self {
            value: self.value,
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Higher values first, then reading order of the first pixel.
    fn precedes(&self, other: &Self) -> bool {
        self.value > other.value || (self.value == other.value && (self.top, self.left) < (other.top, other.left))
    }
}

/// The best maxima so far, best first; `N` is the capacity.
#[derive(Debug, Clone)]
pub(super) struct Peaks<const N: usize> {
    pub list: Vec<Peak, N>,
    /// 1 to `N`.
    pub capacity: usize,
    /// Equal ones that touch count once.
    pub collapse: bool,
    /// How many were added, including those pushed out.
    pub found: u32,
}

impl<const N: usize> Peaks<N> {
    pub(super) const fn new(capacity: usize, collapse: bool) -> Self {
        Self { list: Vec::new(), capacity, collapse, found: 0 }
    }

    /// Values below this cannot enter any more.
    pub(super) fn least(&self) -> f32 {
        match self.list.last() {
            Some(last) if self.list.len() >= self.capacity => last.value,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(super) fn add(&mut self, x: u32, y: u32, value: f32) {
        let mut peak = Peak::pixel(x, y, value);
        let mut known = false;
        // A pixel may join parts of a plateau that did not touch before.
        while let Some(index) = self.list.iter().position(|other| self.collapse && other.is_same_plateau(&peak)) {
            peak = peak.joined(&self.list.remove(index));
            self.found -= u32::from(known);
            known = true;
        }
        self.found += u32::from(!known);
        let place = self.list.iter().position(|known| peak.precedes(known)).unwrap_or(self.list.len());
        if place >= self.capacity {
            return;
        }
        self.list.truncate(self.capacity - 1);
        // There is room for one.
        let _ = self.list.insert(place, peak);
    }
}
