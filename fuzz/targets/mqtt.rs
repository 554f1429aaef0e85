//! What a broker may send, what may stand in a spool, and what may be given as a URI: results or errors, in bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::sink::mqtt::options::{MqttOptions, shown};
use sinew::sink::mqtt::packets::{Answer, Answers};
use sinew::sink::mqtt::spool::Spool;

const LIMIT: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => answers(bytes),
        1 => spool(bytes),
        _ => uri(bytes),
    }
});

/// However a broker's bytes are cut, they mean the same.
fn answers(bytes: &[u8]) {
    let read = |size: usize| -> (Vec<Answer>, bool) {
        let (mut answers, mut found) = (Answers::default(), Vec::new());
        let is_good = bytes.chunks(size).all(|piece| answers.read(piece, |answer| found.push(answer)).is_ok());
        (found, is_good)
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(whole, read(1));
    assert!(whole.0.len() <= bytes.len() / 2);
}

/// Whatever is in a segment and in the position, whole results are read, and others can be appended.
fn spool(bytes: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let (position, segment) = bytes.split_at(bytes.len().min(20));
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("room in memory");
    write("position", position);
    write("000001.spool", segment);
    let Ok(mut spool) = Spool::open(folder.path(), LIMIT) else { return };
    let (dropped, written) = spool.append(7, b"{}");
    written.expect("room for two bytes");
    let (unread, mut read, mut payload) = (spool.unread(), 0, Vec::new());
    loop {
        payload.clear();
        match spool.next(&mut payload) {
            Ok(Some((_, place))) => {
                assert!(payload.len() <= segment.len().max(2));
                read += 1;
                spool.sent(place);
            }
            Ok(None) => break,
            Err((lost, error)) => panic!("{lost} lost of what was whole: {error}"),
        }
    }
    assert_eq!(read, unread);
    assert!(dropped == 0 || segment.len() as u64 > LIMIT - 14);
    spool.save();
}

/// A password that is accepted is in no message.
fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = shown(text);
    for uri in [text.to_owned(), format!("mqtt://{text}"), format!("mqtts://me:${{PW}}@{text}")] {
        if let Ok(options) = MqttOptions::parse(&uri, &|_| Some("hunter2".to_owned())) {
            assert!(!format!("{options:?} {}", options.broker()).contains("hunter2") || text.contains("hunter2"));
        }
    }
}
