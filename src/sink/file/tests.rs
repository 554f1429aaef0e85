//! Lines on disks that are full, and files that other programs move.

use std::fs::File;

use super::*;

/// A disk with so much room; rotated files are kept.
#[derive(Debug, Default)]
struct Small {
    room: usize,
    /// Whether half a line cannot be cut off for now.
    stuck: bool,
    file: Vec<u8>,
    rotated: Vec<Vec<u8>>,
}

impl Volume for Small {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.room.saturating_sub(self.file.len());
        if free == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let count = free.min(bytes.len());
        self.file.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.stuck {
            return Err(ErrorKind::StorageFull.into());
        }
        self.file.truncate(length as usize);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.rotated.push(std::mem::take(&mut self.file));
        Ok(())
    }

    fn renewed(&mut self, length: u64) -> io::Result<Option<u64>> {
        let found = self.file.len() as u64;
        Ok((found < length).then_some(found))
    }
}

fn lines(room: usize, most_bytes: Option<u64>) -> Lines<Small> {
    let mut lines = Lines::new(Small { room, ..Small::default() }, most_bytes, Duration::ZERO, "played");
    lines.write_all(b"header\n").unwrap();
    lines
}

fn text(lines: &Lines<Small>) -> &str {
    std::str::from_utf8(&lines.volume.file).unwrap()
}

#[test]
fn a_full_disk_costs_whole_lines_only() {
    let mut lines = lines(20, None);
    for line in ["first\n", "second\n", "third\n", "4\n"] {
        lines.write_all(line.as_bytes()).unwrap();
    }
    // 7 + 6 + 7 bytes: the disk is full to the last byte.
    assert_eq!(text(&lines), "header\nfirst\nsecond\n");
    assert_eq!(lines.dropped_lines, 2);
    // Some room, but not enough for the line: nothing of it stays.
    lines.volume.room = 24;
    lines.write_all(b"fifth\n").unwrap();
    assert_eq!(text(&lines), "header\nfirst\nsecond\n");
    assert_eq!(lines.dropped_lines, 3);
    lines.volume.room = 100;
    lines.write_all(b"sixth\n").unwrap();
    assert_eq!(text(&lines), "header\nfirst\nsecond\nsixth\n");
    assert_eq!((lines.dropped_lines, lines.full, lines.counted.disk()), (0, None, 3));
}

#[test]
fn half_a_line_is_cut_off_as_soon_as_it_can_be() {
    let mut lines = lines(10, None);
    lines.volume.stuck = true;
    lines.write_all(b"first\n").unwrap();
    assert_eq!(text(&lines), "header\nfir");
    lines.volume.room = 100;
    lines.write_all(b"second\n").unwrap();
    assert_eq!(text(&lines), "header\nfir", "nothing is written behind half a line");
    lines.volume.stuck = false;
    lines.write_all(b"third\n").unwrap();
    assert_eq!(text(&lines), "header\nthird\n");
}

#[test]
fn a_full_disk_is_left_alone_for_a_while() {
    let mut lines = lines(7, None);
    lines.retry = Duration::from_secs(3600);
    lines.write_all(b"first\n").unwrap();
    lines.volume.room = 100;
    lines.write_all(b"second\n").unwrap();
    assert_eq!((text(&lines), lines.dropped_lines), ("header\n", 2));
    lines.clock.advance(lines.retry);
    lines.write_all(b"third\n").unwrap();
    assert_eq!(text(&lines), "header\nthird\n");
}

#[test]
fn a_line_that_fits_is_no_room_yet() {
    let mut lines = lines(13, None);
    lines.write_all(b"too long for what is left\n").unwrap();
    assert!(matches!(lines.full, Some(Full::Since(_))));
    lines.retry = Duration::from_secs(3600);
    lines.clock.advance(lines.retry);
    lines.write_all(b"short\n").unwrap();
    assert!(matches!(lines.full, Some(Full::Room(_))), "not said yet");
    lines.write_all(b"full again\n").unwrap();
    assert!(matches!(lines.full, Some(Full::Since(_))), "not said a second time");
    assert_eq!((text(&lines), lines.dropped_lines), ("header\nshort\n", 2));
}

#[test]
fn a_header_that_did_not_fit_is_written_later() {
    let mut lines = lines(7 + 6, Some(15));
    lines.write_all(b"first\n").unwrap();
    lines.volume.room = 3;
    // The next file has no room for its header.
    lines.write_all(b"second\n").unwrap();
    assert_eq!((text(&lines), lines.volume.rotated.len()), ("", 1));
    lines.volume.room = 100;
    lines.write_all(b"third\n").unwrap();
    assert_eq!((text(&lines), lines.volume.rotated.len()), ("header\nthird\n", 1));
    assert_eq!(lines.volume.rotated[0], b"header\nfirst\n");
}

#[test]
fn a_line_longer_than_a_file_has_one_of_its_own() {
    let mut lines = lines(1000, Some(12));
    for line in ["a line that is too long\n", "1\n", "2\n", "3\n", "another that is too long\n"] {
        lines.write_all(line.as_bytes()).unwrap();
    }
    let rotated: Vec<_> = lines.volume.rotated.iter().map(|file| std::str::from_utf8(file).unwrap()).collect();
    assert_eq!(rotated, ["header\na line that is too long\n", "header\n1\n2\n", "header\n3\n"]);
    assert_eq!(text(&lines), "header\nanother that is too long\n");
}

/// The kernel's own full disk.
#[derive(Debug)]
struct DevFull(File);

impl Volume for DevFull {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        panic!("nothing was written");
    }

    fn rotate(&mut self) -> io::Result<()> {
        panic!("nothing was written");
    }

    fn renewed(&mut self, _: u64) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

#[test]
fn what_the_kernel_says_of_a_full_disk_is_understood() {
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    let mut lines = Lines::new(DevFull(full), None, Duration::ZERO, "/dev/full");
    assert!(lines.write_all(b"header\n").is_err_and(|error| is_full(&error)), "at the start it is an error");
    (lines.header, lines.length, lines.start) = (b"header\n".to_vec(), 7, Start::Done);
    lines.write_all(b"first\n").unwrap();
    lines.write_all(b"second\n").unwrap();
    assert_eq!(lines.dropped_lines, 2);
}

#[test]
fn options() {
    let of = |text| rotation(Parts::of(text));
    assert_eq!(of("a.jsonl").unwrap(), None);
    assert_eq!(of("a.jsonl?rotate=1MiB").unwrap(), Some(Rotation { bytes: 1 << 20, keep: KEEP }));
    assert_eq!(of("a.jsonl?rotate=9&keep=2").unwrap(), Some(Rotation { bytes: 9, keep: 2 }));
    for wrong in ["a?rotate=many", "a?rotate=1MiB&keep=0", "a?keep=3", "a?rotate=1&keep=1000", "a?compress=yes"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn rotation_fills_gaps_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let at = |name: &str| folder.path().join(name);
    for name in ["a", "a.1", "a.3"] {
        fs::write(at(name), name).unwrap();
    }
    let mut files = Files { file: OutputFile::open(&path).unwrap(), keep: 3 };
    let expect = |expected: &[(&str, &str)]| {
        for (name, content) in expected {
            assert_eq!(&fs::read_to_string(at(name)).unwrap(), content, "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), expected.len());
    };
    files.rotate().unwrap();
    expect(&[("a", ""), ("a.1", "a"), ("a.2", "a.1"), ("a.3", "a.3")]);
    fs::write(at("a"), "new").unwrap();
    files.rotate().unwrap();
    expect(&[("a", ""), ("a.1", "new"), ("a.2", "a"), ("a.3", "a.1")]);
    fs::remove_file(at("a")).unwrap();
    files.rotate().unwrap();
    expect(&[("a", ""), ("a.1", "new"), ("a.2", "a"), ("a.3", "a.1")]);
}

/// Lines in a real file, of which another program may do what it likes.
fn in_file(path: &Path, most_bytes: Option<u64>) -> Lines<Files> {
    let files = Files { file: OutputFile::open(path).unwrap(), keep: 2 };
    let mut lines = Lines::new(files, most_bytes, Duration::ZERO, "played");
    lines.start = if lines.volume.length().unwrap() > 0 { Start::Replace } else { Start::Header };
    lines.write_all(b"header\n").unwrap();
    lines
}

#[test]
fn a_file_that_is_moved_deleted_or_emptied_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("a"), folder.path().join("moved"));
    let mut lines = in_file(&path, None);
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    lines.write_all(b"1\n").unwrap();
    fs::rename(&path, &moved).unwrap();
    lines.write_all(b"2\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("header\n1\n".into(), "header\n2\n".into()));
    fs::remove_file(&path).unwrap();
    lines.write_all(b"3\n").unwrap();
    assert_eq!(read(&path), "header\n3\n");
    // As `logrotate` does with `copytruncate`.
    fs::write(&path, "").unwrap();
    lines.write_all(b"4\n").unwrap();
    lines.write_all(b"5\n").unwrap();
    assert_eq!(read(&path), "header\n4\n5\n");
    // As it does with `create`, or another program that was there first.
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "another's\n").unwrap();
    lines.write_all(b"6\n").unwrap();
    assert_eq!(read(&path), "another's\nheader\n6\n", "nothing of another program is overwritten");
}

#[test]
fn an_earlier_file_stays_until_there_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    fs::write(&path, "earlier\n").unwrap();
    drop(in_file(&path, None));
    assert_eq!(read("a"), "earlier\n");
    in_file(&path, None).write_all(b"1\n").unwrap();
    assert_eq!(read("a"), "header\n1\n");
    drop(in_file(&path, Some(100)));
    assert!(!folder.path().join("a.1").exists());
    in_file(&path, Some(100)).write_all(b"2\n").unwrap();
    assert_eq!((read("a"), read("a.1")), ("header\n2\n".into(), "header\n1\n".into()));
}

#[test]
fn all_files_of_a_rotation_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a"), folder.path().join("link"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let found = paths(&format!("{}?rotate=1KiB&keep=2", link.display())).unwrap();
    assert_eq!(found, ["a", "a.1", "a.2"].map(|name| folder.path().join(name)));
    assert_eq!(paths(link.to_str().unwrap()).unwrap(), [path]);
}

#[test]
fn another_header_counts_when_a_file_is_rotated() {
    // 7 + 6 bytes; the second header and its line would make 13 + 20 + 7.
    let mut lines = lines(1000, Some(32));
    lines.write_all(b"first\n").unwrap();
    let header = b"{\"schema\":1,\"b\":2}\n";
    lines.write_all(header).unwrap();
    lines.write_all(b"second\n").unwrap();
    assert_eq!(lines.volume.rotated, [b"header\nfirst\n".to_vec()]);
    assert_eq!(text(&lines), "{\"schema\":1,\"b\":2}\nsecond\n");
    // A header longer than the first header and all lines behind it.
    let long = format!("{{\"schema\":1,\"b\":\"{}\"}}\n", "-".repeat(30));
    lines.write_all(long.as_bytes()).unwrap();
    lines.write_all(b"third\n").unwrap();
    assert_eq!((lines.volume.rotated.len(), text(&lines)), (2, format!("{long}third\n").as_str()));
}
