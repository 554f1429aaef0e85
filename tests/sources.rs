//! Sources that ffmpeg and GStreamer read: what they give, and a table of faults with the real programs.

mod common;
mod programs;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use programs::{
    Server, children, clip, damaged_clip, decoded_by_ffmpeg, ffmpeg, ffmpegs_of, have, is_running, own_ffmpegs, signal,
    silent_server, wait_until,
};
use sinew::counts::Counts;
use sinew::geometry::Size;
use sinew::source::child::{self, ChildInput, ChildRequest};
use sinew::source::{self, Source, SourceError};

/// How long a live source may take to give frames again, from the fault on: a second to see that none comes, the rest for starting
/// again. A busy machine takes longer; `SINEW_SLOW=4` multiplies it.
fn limit() -> Duration {
    let slow = std::env::var("SINEW_SLOW").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(2) * slow
}

/// A live source, and what it has said.
struct Watched {
    source: Box<dyn Source>,
    said: Vec<String>,
}

impl Watched {
    fn open(uri: &str) -> Self {
        Self::of(ChildRequest::parse(uri).unwrap())
    }

    fn of(request: ChildRequest) -> Self {
        Self { source: child::open(request).unwrap(), said: Vec::new() }
    }

    /// The size of the next frame, if one comes in time.
    fn frame(&mut self, patience: Duration) -> Option<Size> {
        let until = Instant::now() + patience;
        let mut found = None;
        while found.is_none() && Instant::now() < until {
            match self.source.next_frame() {
                Ok(Some(frame)) => found = Some(frame.image.size()),
                Ok(None) => panic!("a live source does not end"),
                Err(SourceError::NotYet) => {}
                Err(error) => panic!("a fault of a live source ends nothing: {error}"),
            }
            while let Some(warning) = self.source.next_warning() {
                self.said.push(warning.to_string());
            }
        }
        found
    }

    #[track_caller]
    fn must_give(&mut self, what: &str) -> Size {
        self.frame(Duration::from_secs(60)).unwrap_or_else(|| panic!("{what}: no frame; said {:?}", self.said))
    }

    /// Frames until there is one after a restart; how long that took.
    #[track_caller]
    fn recovers(&mut self, restarts: u64) -> Duration {
        let begun = Instant::now();
        while self.counts().restarts < restarts {
            assert!(begun.elapsed() < Duration::from_secs(60), "no restart; said {:?}", self.said);
            self.frame(Duration::from_millis(10));
        }
        self.must_give("after a restart");
        begun.elapsed()
    }

    fn counts(&self) -> Counts {
        self.source.live_counts().unwrap()
    }
}

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/bundles/logocap-tiny");
const LIVE: &str = "gst:videotestsrc is-live=true ! video/x-raw,framerate=30/1,width=";

#[test]
fn a_child_that_dies_or_hangs_is_started_again() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    for (fault, width, fields) in [("KILL", 112, [1, 0]), ("STOP", 120, [0, 1])] {
        let mut watched = Watched::open(&format!("{LIVE}{width},height=64"));
        assert_eq!(watched.must_give("at first"), Size::new(width, 64));
        let [child] = children(&format!("width={width},"))[..] else { panic!("not one child") };
        signal(child, fault);
        let took = watched.recovers(1);
        println!("{fault}: frames again after {:.2} s", took.as_secs_f64());
        assert!(took < limit(), "{fault}: {took:?}");
        let counts = watched.counts();
        assert_eq!([counts.failures, counts.stalls], fields, "{fault}: {counts:?}");
        assert_eq!(watched.said.len(), 1, "{fault}: {:?}", watched.said);
        let needle = if fault == "KILL" { "signal: 9" } else { "no frame for 1.0 s" };
        assert!(watched.said[0].contains(needle), "{fault}: {:?}", watched.said);
        assert_eq!(children(&format!("width={width},")).len(), 1, "the old one is gone");
        drop(watched);
        assert!(children(&format!("width={width},")).is_empty(), "none is left");
    }
}

/// The one ffmpeg that this test runs now.
#[track_caller]
fn own_ffmpeg() -> u32 {
    let [child] = own_ffmpegs()[..] else { panic!("not one ffmpeg: {:?}", own_ffmpegs()) };
    child
}

/// A fault, and how soon frames came again, apart from what ffmpeg takes at every start. Up to three times, as a busy machine may be
/// late for once.
#[track_caller]
fn must_recover_in_time(what: &str, mut fault: impl FnMut() -> (Duration, Duration)) {
    let mut late = Vec::new();
    while late.len() < 3 {
        let (start, all) = fault();
        let [start, all] = [start, all].map(|time| time.as_secs_f64());
        println!("ffmpeg, {what}: frames again after {all:.2} s, of which a start is {start:.2} s");
        if all - start < limit().as_secs_f64() {
            return;
        }
        late.push((start, all));
    }
    panic!("{what}: not in time: {late:?}");
}

/// Opens a live source; how long its first frame took as well.
fn start(uri: &str) -> (Watched, Duration) {
    let begun = Instant::now();
    let mut watched = Watched::open(uri);
    watched.must_give("at first");
    (watched, begun.elapsed())
}

#[test]
fn an_ffmpeg_that_dies_or_hangs_is_started_again() {
    let Some(server) = Server::rtsp(None) else { return };
    let uri = format!("rtsp://127.0.0.1:{}/camera", server.port);
    for (fault, needle, fields) in [("KILL", "signal: 9", [1, 1, 0]), ("STOP", "no frame for 1.0 s", [1, 0, 1])] {
        must_recover_in_time(fault, || {
            let (mut watched, first) = start(&uri);
            let child = own_ffmpeg();
            signal(child, fault);
            let took = watched.recovers(1);
            assert!(!is_running(child), "{fault}: the old one is gone");
            let counts = watched.counts();
            assert_eq!([counts.restarts, counts.failures, counts.stalls], fields, "{fault}: {counts:?}");
            assert!(matches!(&watched.said[..], [said] if said.contains(needle)), "{fault}: {:?}", watched.said);
            let child = own_ffmpeg();
            let begun = Instant::now();
            drop(watched);
            assert!(begun.elapsed() < limit() && !is_running(child), "ended by us after {:?}", begun.elapsed());
            (first, took)
        });
    }
}

#[test]
fn an_ffmpeg_that_gives_nothing_is_started_again_and_said_once() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let uri = format!("http://127.0.0.1:{}/#start=0.3", silent_server());
    let mut watched = Watched::open(&uri);
    let mut seen = Vec::new();
    let begun = Instant::now();
    while watched.counts().stalls < 3 {
        assert_eq!(watched.frame(Duration::from_millis(10)), None);
        seen.extend(own_ffmpegs().into_iter().filter(|child| !seen.contains(child)).collect::<Vec<_>>());
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", watched.counts());
    }
    assert!(seen.len() >= 3, "{seen:?}");
    assert!(matches!(&watched.said[..], [said] if said.contains("no frame for 0.3 s")), "{:?}", watched.said);
    drop(watched);
    assert!(seen.iter().all(|&child| !is_running(child)), "none is left");
}

#[test]
fn a_live_ffmpeg_that_ends_or_changes_the_size_is_started_again_and_said_once() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, needle) in [
        (clip(folder.path(), "one.ts", "testsrc=size=64x48:rate=10:duration=0.5", &["-c:v", "libx264"]), "has ended"),
        (two_sizes(folder.path()), "changed its size"),
    ] {
        must_recover_in_time(needle, || {
            let (mut watched, first) = start(&format!("ffmpeg:{}?live=1", path.display()));
            let took = watched.recovers(1);
            assert_eq!(watched.counts().failures, 1, "{:?}", watched.counts());
            assert!(matches!(&watched.said[..], [said] if said.contains(needle)), "{:?}", watched.said);
            (first, took)
        });
    }
}

#[test]
fn a_live_stream_that_ends_is_started_again_and_said_once() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let mut watched = Watched::open("gst:videotestsrc num-buffers=2 ! video/x-raw,width=128,height=64");
    watched.recovers(1);
    let counts = watched.counts();
    assert!(counts.failures >= 1, "{counts:?}");
    assert!(watched.said[0].contains("ended without a message"), "{:?}", watched.said);
}

#[test]
fn a_child_that_gives_nothing_is_started_again_and_said_once() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let mut request =
        ChildRequest::parse("gst:videotestsrc is-live=true ! video/x-raw,width=136 ! valve drop=true").unwrap();
    request.start = Some(Duration::from_millis(300));
    let mut watched = Watched::of(request);
    assert_eq!(watched.frame(Duration::from_secs(4)), None);
    assert!(watched.counts().stalls >= 2, "{:?}", watched.counts());
    assert_eq!(watched.said.len(), 1, "{:?}", watched.said);
    drop(watched);
    assert!(children("width=136 !").is_empty());
}

#[test]
fn a_pipeline_that_cannot_work_says_why() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let mut watched = Watched::open("gst:nosuchelement ! identity");
    assert_eq!(watched.frame(Duration::from_secs(3)), None);
    assert!(watched.said[0].contains("nosuchelement"), "{:?}", watched.said);
    // After 0.25, 0.75, 1.75 and 2.75 s, and the time that each takes to fail.
    assert!((1..=4).contains(&watched.counts().restarts), "{:?}", watched.counts());
    assert_eq!(watched.said.len(), 1, "{:?}", watched.said);
}

#[test]
fn sizes_and_layouts_are_read_back() {
    if !have(&["gst-launch-1.0", "ffmpeg"]) {
        return;
    }
    // Widths and heights at which GStreamer's memory has gaps, in every format that is read; and a change on the way.
    for format in ["NV12", "I420", "YUY2", "UYVY", "GRAY8", "RGB", "BGRx"] {
        let uri = format!(
            "gst-file:videotestsrc pattern=smpte num-buffers=1 ! video/x-raw,format={format},width=107,height=53 ! c. videotestsrc pattern=smpte \
             num-buffers=1 ! video/x-raw,format={format},width=64,height=32 ! c. concat name=c"
        );
        let mut source = source::open(&uri).unwrap();
        let mut sizes = Vec::new();
        loop {
            match source.next_frame() {
                Ok(Some(frame)) => {
                    sizes.push(frame.image.size());
                    let mut rgb = Vec::new();
                    sinew::pixels::to_rgb(frame.image, &mut rgb);
                    let Size { width, height } = frame.image.size();
                    // The seven bars: white on the left, blue on the right, in the upper half of every column.
                    for row in [0, height / 2] {
                        let pixel = |column: usize| &rgb[3 * (row * width + column)..][..3];
                        let (white, blue) = (pixel(2), pixel(width - 3));
                        assert!(white.iter().all(|&value| value > 150), "{format}: {white:?}");
                        let is_blue = blue[2] > 100 && blue[0] < 60;
                        assert!(format == "GRAY8" || is_blue, "{format}: {blue:?}");
                    }
                }
                Ok(None) => break,
                Err(SourceError::NotYet) => {}
                Err(error) => panic!("{format}: {error}"),
            }
        }
        assert_eq!(sizes, [Size::new(107, 53), Size::new(64, 32)], "{format}");
    }
}

/// A frame's bytes and time.
type Taken = (Vec<u8>, Option<Duration>);

/// Every frame.
fn all_frames(uri: &str) -> Result<Vec<Taken>, SourceError> {
    let (mut source, mut frames) = (source::open(uri)?, Vec::new());
    loop {
        match source.next_frame() {
            Ok(Some(frame)) => {
                assert_eq!(frame.sequence, frames.len() as u64);
                frames.push((frame.image.data().to_vec(), frame.captured));
            }
            Ok(None) => return Ok(frames),
            Err(SourceError::NotYet) => {}
            Err(error) => return Err(error),
        }
    }
}

#[test]
fn files_give_every_frame_once_and_at_its_time() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The same frames in every container, and of H.264 those that ffmpeg itself decodes.
    // An AVI has no times of its own; with frames out of order ffmpeg's guess of them is late.
    for (name, codec) in [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mov", "libx264")] {
        let path = clip(folder.path(), name, "testsrc=size=162x90:rate=10:duration=1", &["-c:v", codec]);
        let y4m = folder.path().join("a.y4m");
        ffmpeg(&["-i", path.to_str().unwrap(), "-pix_fmt", "yuv420p", y4m.to_str().unwrap()]);
        let (ours, theirs) = (all_frames(path.to_str().unwrap()).unwrap(), all_frames(y4m.to_str().unwrap()).unwrap());
        assert_eq!(ours.len(), 10, "{name}");
        for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
            assert!(our.0 == their.0, "{name}: frame {number} differs");
            let expected = Duration::from_millis(100) * number as u32;
            assert!(our.1.unwrap().abs_diff(expected) < Duration::from_millis(2), "{name}: {number} at {:?}", our.1);
        }
    }
    // Frames at times of no rate: neither copied nor moved.
    let uneven = "testsrc=size=64x48:rate=50:duration=1,select=eq(n\\,0)+eq(n\\,3)+eq(n\\,17)+eq(n\\,40)";
    let path = clip(folder.path(), "uneven.mp4", uneven, &["-fps_mode", "passthrough", "-c:v", "libx264"]);
    let times: Vec<_> = all_frames(path.to_str().unwrap()).unwrap().into_iter().map(|frame| frame.1.unwrap()).collect();
    let expected = [0, 60, 340, 800].map(Duration::from_millis);
    assert!(
        times.iter().zip(expected).all(|(&found, expected)| found.abs_diff(expected) < Duration::from_millis(2)),
        "{times:?}"
    );
    assert_eq!(times.len(), 4);
    // At their own times.
    let begun = Instant::now();
    assert_eq!(all_frames(&format!("{}?realtime=1", path.display())).unwrap().len(), 4);
    assert!(begun.elapsed() >= Duration::from_millis(790), "{:?}", begun.elapsed());
    // Upright, as images are.
    let turned = folder.path().join("turned.mp4");
    let straight = clip(folder.path(), "straight.mp4", "testsrc=size=64x48:rate=10:duration=0.2", &["-c:v", "libx264"]);
    ffmpeg(&["-i", straight.to_str().unwrap(), "-c", "copy", "-metadata:s:v:0", "rotate=90", turned.to_str().unwrap()]);
    let mut source = source::open(turned.to_str().unwrap()).unwrap();
    let size = loop {
        match source.next_frame() {
            Ok(frame) => break frame.unwrap().image.size(),
            Err(SourceError::NotYet) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(size, Size::new(48, 64));
}

#[test]
fn files_that_are_broken_say_so() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "a.mp4", "testsrc=size=64x48:rate=10:duration=1", &["-c:v", "libx264"]);
    let whole = std::fs::read(&path).unwrap();
    // Without its end, where an mp4 has its index.
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = all_frames(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("a.mp4") && error.contains("moov"), "{error}");
    let error = all_frames(&format!("ffmpeg:{}/none.ts", folder.path().display())).unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    let error = all_frames(&format!("ffmpeg:{}", two_sizes(folder.path()).display())).unwrap_err().to_string();
    assert!(error.contains("changed its size"), "{error}");
}

/// A video that changes its size on the way: two, one behind the other.
fn two_sizes(folder: &Path) -> PathBuf {
    let mut both = Vec::new();
    for (name, size) in [("1.ts", "64x48"), ("2.ts", "96x64")] {
        let path = clip(folder, name, &format!("testsrc=size={size}:rate=10:duration=0.5"), &["-c:v", "libx264"]);
        both.extend(std::fs::read(path).unwrap());
    }
    let joined = folder.join("both.ts");
    std::fs::write(&joined, both).unwrap();
    joined
}

#[test]
fn a_flood_of_an_ffmpegs_messages_holds_nothing_up() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = damaged_clip(folder.path(), "320x240", 40, 50);
    let (expected, said) = decoded_by_ffmpeg(&path);
    // A pipe holds 64 KiB: if nobody read it, ffmpeg would wait for ever.
    assert!(said.len() > 2 << 16 && expected > 300, "no flood: {} bytes, {expected} frames", said.len());
    let mut source = source::open(path.to_str().unwrap()).unwrap();
    let (mut frames, mut lost) = (0, None);
    loop {
        match source.next_frame() {
            Ok(Some(_)) => frames += 1,
            Ok(None) => break,
            Err(SourceError::NotYet) => {}
            Err(error @ SourceError::Undecodable { .. }) if lost.is_none() => lost = Some(error),
            Err(error) => panic!("{error}"),
        }
    }
    let lost = lost.expect("lost frames are said");
    assert_eq!((frames, lost.lost_frames()), (expected, (40 * 30 - expected) as u64));
    let text = lost.to_string();
    assert!(text.contains("damaged.mp4") && text.contains("[h264] ") && text.len() < 1000, "{text}");
    assert!(source.next_warning().is_none(), "said once");
}

#[test]
fn damaged_videos_are_warned_of_and_their_lost_frames_counted() {
    if !have(&["ffmpeg"]) {
        return;
    }
    // Some frames are lost; all are there, but not all of their pixels; none can be decoded.
    for (distance, needle, code) in [
        (200, "frames could not be decoded; the decoder said: [h264] ", 1),
        (2000, "with faults, no frame is lost; the decoder said: [h264] ", 0),
        (2, "ffmpeg ended with exit status: 1; it said: ", 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = damaged_clip(folder.path(), "160x120", 1, distance);
        let (expected, said) = decoded_by_ffmpeg(&path);
        assert!(!said.is_empty() && [1, 0, 2][usize::from(expected == 30) + 2 * usize::from(expected == 0)] == code);
        let results = folder.path().join("poses.jsonl");
        let output = Command::new(env!("CARGO_BIN_EXE_sinew"))
            .args(["run", "--backend", "tract", "--no-track", "--model", MODEL, "--source", path.to_str().unwrap()])
            .arg("--sink")
            .arg(format!("jsonl:{}", results.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let about: Vec<_> = said.lines().filter(|line| line.contains("damaged.mp4")).collect();
        assert!(matches!(about[..], [line] if line.contains(needle)), "{said}");
        if expected > 0 {
            let lines = std::fs::read_to_string(&results).unwrap();
            assert_eq!(lines.lines().filter(|line| line.contains("\"sequence\":")).count(), expected, "{said}");
            assert!(said.contains("sinew: 30 frames"), "{said}");
        }
        let unread = format!("{} frames could not be read", 30 - expected);
        assert_eq!(said.contains(&unread), code == 1, "{said}");
    }
}

#[test]
fn rtsp_outlives_its_server_and_keeps_its_secret() {
    let Some(mut server) = Server::rtsp(Some(("me", "s3c:r@t"))) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "me:s3c:r@t\n").unwrap();
    let uri = format!("rtsp://127.0.0.1:{}/camera#credentials={}", server.port, file.path().display());
    let mut watched = Watched::open(&uri);
    assert_eq!(watched.must_give("at first"), Size::new(320, 240));
    let arguments = programs::arguments_of_all();
    assert!(!arguments.contains("s3c") && arguments.contains("concat"), "{arguments}");
    for fault in ["killed", "frozen"] {
        let restarts = watched.counts().restarts;
        match fault {
            "killed" => server.restart(),
            _ => {
                server.signal("STOP");
                // Until it is seen that nothing comes.
                let begun = Instant::now();
                while watched.counts().stalls == 0 {
                    watched.frame(Duration::from_millis(50));
                    assert!(begun.elapsed() < limit(), "a frozen server is not seen: {:?}", watched.said);
                }
                println!("frozen: seen after {:.2} s", begun.elapsed().as_secs_f64());
                server.signal("CONT");
            }
        }
        let took = watched.recovers(restarts + 1);
        println!("RTSP server {fault}: frames again {:.2} s after it was back", took.as_secs_f64());
        assert!(took < limit(), "{fault}: {took:?}");
    }
    drop(watched);
    // A wrong password: said, and not shown.
    std::fs::write(file.path(), "me:wr0ng\n").unwrap();
    let mut watched = Watched::open(&uri);
    assert_eq!(watched.frame(Duration::from_secs(8)), None);
    let said = watched.said.join("\n");
    assert!(said.contains("401") && !said.contains("wr0ng"), "{said}");
}

#[test]
fn mjpeg_over_http_is_a_camera() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let (_server, port) = programs::mjpeg_server();
    let mut watched = Watched::open(&format!("http://127.0.0.1:{port}/stream?user=me&password=s3cret"));
    assert_eq!(watched.must_give("MJPEG"), Size::new(96, 64));
    assert!(!programs::arguments_of_all().contains("s3cret"));
}

#[test]
fn no_program_means_no_source() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mp4");
    std::fs::write(&film, b"\0\0\0\x18ftypmp42").unwrap();
    for (uri, needle) in [
        (film.to_str().unwrap(), "sudo apt install ffmpeg"),
        ("rtsp://camera/stream", "sudo apt install ffmpeg"),
        ("gst:videotestsrc", "sudo apt install gstreamer1.0-tools"),
        ("csi://0", "sudo apt install gstreamer1.0-tools"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sinew"))
            .args(["run", "--model", "logocap-tiny", "--source", uri])
            .env("PATH", folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{uri}: {said}");
        assert!(said.contains("is not installed") && said.contains(needle), "{uri}: {said}");
    }
    if have(&["gst-launch-1.0"]) {
        let request = ChildRequest::parse("csi://0").unwrap();
        assert!(matches!(request.input, ChildInput::Csi { .. }));
        let error = child::open(request).err().unwrap().to_string();
        assert!(error.contains("nvarguscamerasrc") && error.contains("Jetson"), "{error}");
    }
}

/// The program, reading from `uri`.
fn run(uri: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
    command.args(["run", "--backend", "tract", "--model", MODEL, "--source", uri, "--sink", "jsonl:/dev/null"]);
    command.spawn().unwrap()
}

#[test]
fn nothing_outlives_a_program_that_is_killed() {
    if !have(&["gst-launch-1.0", "ffmpeg"]) {
        return;
    }
    // They give nothing: a pipe that is closed would not end them.
    let mut program = run("gst:videotestsrc is-live=true ! video/x-raw,width=144 ! valve drop=true");
    wait_until("the child is there", || !children("width=144 !").is_empty());
    program.kill().unwrap();
    program.wait().unwrap();
    wait_until("the child is gone", || children("width=144 !").is_empty());
    let mut program = run(&format!("http://127.0.0.1:{}/", silent_server()));
    // Asked for its version, it ends by itself: the one that reads a list stays.
    let reads =
        |child: &u32| std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|text| text.ends_with(b"pipe:1\0"));
    let child = || ffmpegs_of(program.id()).into_iter().find(reads);
    wait_until("ffmpeg is there", || child().is_some());
    let child = child().unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    wait_until("ffmpeg is gone", || !is_running(child));
}
