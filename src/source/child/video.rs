//! A video file or another finite source: every frame in order, decoded by another program.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::programs::frames_of;
use super::request::ChildRequest;
use super::stream::{ChildFrames, Found};
use crate::source::{Frame, Source, SourceError};

/// Longest wait before the caller can check whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Time without a frame after which the decoding program is considered hung, unless the request says otherwise.
const STALL: Duration = Duration::from_secs(30);

/// A video that another program decodes.
#[derive(Debug)]
pub struct Video {
    request: ChildRequest,
    child: ChildFrames,
    sequence: u64,
    last_frame: Instant,
    /// When the video began, if played in real time.
    begun: Option<Instant>,
    /// A frame that arrived before its time.
    early: Option<Option<Duration>>,
    warnings: VecDeque<SourceError>,
    is_over: bool,
}

impl Video {
    /// Starts decoding.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn open(request: ChildRequest) -> Result<Self, SourceError> {
        let child =
            ChildFrames::start(&request).map_err(|reason| SourceError::Child { name: request.name.clone(), reason })?;
        let (warnings, last_frame) = (VecDeque::new(), Instant::now());
        Ok(Self { request, child, sequence: 0, last_frame, begun: None, early: None, warnings, is_over: false })
    }

    fn fault(&mut self, reason: String) -> SourceError {
        self.is_over = true;
        SourceError::Child { name: self.request.name.clone(), reason }
    }

    /// How long a frame must still wait.
    fn wait(&mut self, time: Option<Duration>) -> Duration {
        let (true, Some(time)) = (self.request.realtime, time) else { return Duration::ZERO };
        let now = Instant::now();
        // The first frame is shown at once, whatever its time.
        let begun = *self.begun.get_or_insert_with(|| now.checked_sub(time).unwrap_or(now));
        (begun + time).saturating_duration_since(now)
    }

    fn limit(&self) -> Duration {
        let given = if self.sequence == 0 { self.request.start } else { self.request.stall };
        given.or(self.request.stall).unwrap_or(STALL)
    }
}

impl Source for Video {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.is_over {
            return Ok(None);
        }
        let found = match self.early.take() {
            Some(time) => Found::Frame(time),
            None => {
                let asked = Instant::now();
                match self.child.next(POLL_INTERVAL) {
                    // The caller's own time does not count as a stall.
                    Ok(Found::Nothing)
                        if asked.elapsed() > Duration::ZERO && self.last_frame.elapsed() < self.limit() =>
                    {
                        return Err(SourceError::NotYet);
                    }
                    Ok(Found::Nothing) => {
                        let (seconds, said) = (self.limit().as_secs_f64(), self.child.said());
                        let said = if said.is_empty() { said } else { format!("; it said: {said}") };
                        return Err(self.fault(format!("its decoder gave nothing for {seconds:.1} s{said}")));
                    }
                    Ok(found) => found,
                    Err(reason) => {
                        let reason = format!("frame {}: {reason}", self.sequence);
                        return Err(self.fault(reason));
                    }
                }
            }
        };
        let time = match found {
            Found::Frame(time) => time,
            Found::Nothing | Found::End => {
                self.is_over = true;
                return match self.child.end() {
                    Ok(said) if said.is_empty() => Ok(None),
                    // Frames that could not be decoded, or parts of them, in a file that was else read to its end.
                    Ok(said) if self.sequence > 0 => {
                        let name = self.request.name.clone();
                        let said = format!("the decoder said: {said}");
                        match frames_of(&self.request.input) {
                            Some(frames) if frames > self.sequence => {
                                let lost = frames - self.sequence;
                                return Err(SourceError::Undecodable { name, lost, frames, said });
                            }
                            known => {
                                let lost = if known.is_some() { "no frame is lost" } else { "frames may be lost" };
                                let reason = format!("read to its end with faults, {lost}; {said}");
                                self.warnings.push_back(SourceError::Child { name, reason });
                            }
                        }
                        Ok(None)
                    }
                    Ok(reason) | Err(reason) => Err(self.fault(reason)),
                };
            }
        };
        let wait = self.wait(time);
        if wait > Duration::ZERO {
            std::thread::sleep(wait.min(POLL_INTERVAL));
            if wait > POLL_INTERVAL {
                self.early = Some(time);
                return Err(SourceError::NotYet);
            }
        }
        self.last_frame = Instant::now();
        let sequence = self.sequence;
        self.sequence += 1;
        let name = self.request.name.as_str();
        let image = match self.child.image() {
            Ok(image) => image,
            Err(reason) => {
                self.is_over = true;
                return Err(SourceError::Child { name: name.to_owned(), reason });
            }
        };
        Ok(Some(Frame { image, sequence, captured: time, instant: None, name: None }))
    }

    fn next_warning(&mut self) -> Option<SourceError> {
        self.warnings.pop_front()
    }
}
