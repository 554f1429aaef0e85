//! What a client gets.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::clients::Client;
use super::metrics::Metrics;
use super::preview::Preview;
use super::request::{self, Page, Refusal};
use crate::thermal;

/// Watchers of the moving image at most: the places that are left are for those who come and go.
const MOST_STREAMS: usize = 6;
/// How often a watcher that gets no image is looked for.
const TICK: Duration = Duration::from_secs(1);
const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sinew</title>\
<style>body{margin:0;background:#111;display:grid;place-items:center;min-height:100vh}\
img{max-width:100vw;max-height:100vh}</style><img src=\"/stream\" alt=\"the moving image\"></html>\n";
/// What separates the images of a stream.
const BOUNDARY: &str = "sinew-picture";

/// Answers one client.
pub(super) fn result(client: &Client, preview: &Preview, metrics: &Metrics, patience: Duration) -> io::Result<()> {
    let asked = request::read(&mut client.reader(Instant::now() + patience))?;
    let whole = |kind: &str, body: &[u8]| send(client, patience, "200 OK", kind, body);
    match asked {
        Ok(Page::Index) => whole("text/html; charset=utf-8", PAGE.as_bytes()),
        Ok(Page::Metrics) => {
            let zones = thermal::zones(&Path::new("/").join(thermal::FOLDER));
            let text = metrics.text(preview.watchers(), &zones);
            whole("text/plain; version=0.0.4; charset=utf-8", text.as_bytes())
        }
        Ok(Page::Snapshot) => {
            let Some(mut watcher) = preview.watch(usize::MAX) else { return refuse(client, patience, Refusal::Busy) };
            match watcher.next(patience) {
                Some(jpeg) => whole("image/jpeg", &jpeg),
                None => refuse(client, patience, Refusal::Busy),
            }
        }
        Ok(Page::Stream) => stream(client, preview, patience),
        Err(refusal) => refuse(client, patience, refusal),
    }
}

/// Tells a client that it gets nothing, and why.
pub(super) fn refuse(client: &Client, patience: Duration, refusal: Refusal) -> io::Result<()> {
    let body = format!("{}\n", refusal.status());
    send(client, patience, refusal.status(), "text/plain", body.as_bytes())
}

fn send(client: &Client, patience: Duration, status: &str, kind: &str, body: &[u8]) -> io::Result<()> {
    // HTTP wants it with 405, and it is true of everything here.
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAllow: GET\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let until = Instant::now() + patience;
    client.write(head.as_bytes(), until)?;
    client.write(body, until)
}

/// Images, until the client goes or does not take one in time.
fn stream(client: &Client, preview: &Preview, patience: Duration) -> io::Result<()> {
    let Some(mut watcher) = preview.watch(MOST_STREAMS) else { return refuse(client, patience, Refusal::Busy) };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary={BOUNDARY}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n--{BOUNDARY}\r\n"
    );
    client.write(head.as_bytes(), Instant::now() + patience)?;
    while !preview.is_over() {
        let Some(jpeg) = watcher.next(TICK) else {
            if client.has_gone() {
                break;
            }
            continue;
        };
        let until = Instant::now() + patience;
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        client.write(head.as_bytes(), until)?;
        client.write(&jpeg, until)?;
        // The next boundary at once: browsers show an image when they see where it ends.
        client.write(format!("\r\n--{BOUNDARY}\r\n").as_bytes(), until)?;
    }
    Ok(())
}
