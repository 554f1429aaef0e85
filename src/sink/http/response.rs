//! Responses. Every function replaces the contents of its buffer.

use std::io::Write as _;

use super::request::Refusal;

/// The content type of Prometheus' text format.
pub(super) const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sinew</title>\
<style>body{margin:0;background:#111;display:grid;place-items:center;min-height:100vh}\
img{max-width:100vw;max-height:100vh}</style><img src=\"/stream\" alt=\"the moving image\"></html>\n";
/// Boundary between the images of a stream. Clients may have it in their configuration, so it keeps its name.
const BOUNDARY: &str = "sinew-picture";
/// Other sites' pages may not show what the camera sees.
const COMMON: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n";

/// A response with a body, or with its headers only.
pub(super) fn whole(output: &mut Vec<u8>, kind: &str, body: &[u8], head_only: bool) {
    with_status(output, "200 OK", kind, body, head_only);
}

/// The page that shows the stream.
pub(super) fn index(output: &mut Vec<u8>, head_only: bool) {
    whole(output, "text/html; charset=utf-8", PAGE.as_bytes(), head_only);
}

/// Refuses a request, with the reason.
pub(super) fn refusal(output: &mut Vec<u8>, refusal: Refusal) {
    let body = format!("{}: {}\n", refusal.status(), refusal.hint());
    with_status(output, refusal.status(), "text/plain; charset=utf-8", body.as_bytes(), false);
}

/// The headers of a stream.
pub(super) fn stream_head(output: &mut Vec<u8>) {
    output.clear();
    push(output, format_args!("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary={BOUNDARY}\r\n"));
    push(output, format_args!("{COMMON}\r\n"));
}

/// The headers of a stream and the first boundary.
pub(super) fn stream_start(output: &mut Vec<u8>) {
    stream_head(output);
    push(output, format_args!("--{BOUNDARY}\r\n"));
}

/// One image of a stream, and the boundary after it: browsers show an image when they see where it ends.
pub(super) fn part(output: &mut Vec<u8>, jpeg: &[u8]) {
    output.clear();
    push(output, format_args!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len()));
    output.extend_from_slice(jpeg);
    push(output, format_args!("\r\n--{BOUNDARY}\r\n"));
}

fn with_status(output: &mut Vec<u8>, status: &str, kind: &str, body: &[u8], head_only: bool) {
    output.clear();
    push(output, format_args!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len()));
    // HTTP requires Allow with 405, and it is true of every page.
    push(output, format_args!("Allow: GET, HEAD\r\n{COMMON}\r\n"));
    if !head_only {
        output.extend_from_slice(body);
    }
}

fn push(output: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = output.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_response_without_its_body() {
        let (mut full, mut head) = (Vec::new(), b"something older".to_vec());
        whole(&mut full, "text/plain", b"body", false);
        whole(&mut head, "text/plain", b"body", true);
        assert_eq!([&head[..], b"body"].concat(), full);
        assert!(String::from_utf8(head).unwrap().contains("\r\nContent-Length: 4\r\n"));
    }

    #[test]
    fn a_stream_begins_with_its_boundary() {
        let mut output = Vec::new();
        stream_start(&mut output);
        let text = String::from_utf8(output.clone()).unwrap();
        assert!(text.ends_with("\r\n\r\n--sinew-picture\r\n"), "{text}");
        part(&mut output, b"jpeg");
        assert!(output.ends_with(b"\r\n\r\njpeg\r\n--sinew-picture\r\n"));
    }
}
