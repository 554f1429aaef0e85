//! Requests of clients.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Maximum size of a request, bytes: its line and its headers.
pub const MOST_BYTES: usize = 8 << 10;
/// Maximum number of headers.
const MOST_HEADERS: usize = 64;

/// The pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The page that shows the stream.
    Index,
    /// The moving image.
    Stream,
    /// One image.
    Snapshot,
    /// The metrics.
    Metrics,
}

/// A complete request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The page.
    pub page: Page,
    /// HEAD: the headers of the response without its body.
    pub head_only: bool,
    /// Whether its Host header, if it has one, names this machine's loopback interface: `localhost`, a name below it, or a
    /// loopback address. A page of another site that reaches the server by DNS rebinding sends its own name.
    pub host_is_loopback: bool,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not an HTTP request.
    Bad,
    /// The Host header names another site.
    Host,
    /// No such page.
    NotFound,
    /// There are metrics only.
    NoImages,
    /// A method other than GET and HEAD.
    Method,
    /// The request was not complete in time.
    Timeout,
    /// The request is longer than [`MOST_BYTES`], or has too many headers.
    TooLong,
    /// Too many clients watch already, or there is no image.
    Busy,
}

impl Refusal {
    /// Number and text of the status line.
    pub fn status(self) -> &'static str {
        match self {
            Self::Bad => "400 Bad Request",
            Self::Host => "403 Forbidden",
            Self::NotFound | Self::NoImages => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Busy => "503 Service Unavailable",
        }
    }

    /// Body of the response.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Bad => "this is not an HTTP request",
            Self::Host => "this preview serves its own machine only: use http://localhost or http://127.0.0.1",
            Self::NoImages => "there is only /metrics, as the preview's fps is 0",
            Self::NotFound => "there are /, /stream, /snapshot.jpg and /metrics",
            Self::Method => "use GET or HEAD",
            Self::Timeout => "the request was not complete in time",
            Self::TooLong => "the request is too long",
            Self::Busy => "too many clients, or no image yet: try again",
        }
    }
}

/// Parses the request of which `bytes` have arrived; `None` if more must arrive first.
///
/// # Errors
/// If the bytes are not a request, or ask for something that does not exist.
pub fn parse(bytes: &[u8]) -> Result<Option<Request>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() >= MOST_BYTES => return Err(Refusal::TooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Bad),
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refusal::Method),
    };
    let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let host_is_loopback = hosts.next().is_none_or(|host| is_loopback(host.value));
    if hosts.next().is_some() {
        return Err(Refusal::Bad);
    }
    let target = request.path.unwrap_or_default();
    // Browsers add a query to bypass their cache.
    let page = match target.split_once('?').map_or(target, |(path, _)| path) {
        "/" => Page::Index,
        "/stream" => Page::Stream,
        "/snapshot.jpg" => Page::Snapshot,
        "/metrics" => Page::Metrics,
        _ => return Err(Refusal::NotFound),
    };
    Ok(Some(Request { page, head_only, host_is_loopback }))
}

/// Whether the value of a Host header, a name or an address with or without a port, is this machine's loopback.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let host = host.trim();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let is_address = address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback());
        return is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
    is_port(port) && (is_name || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Result<Option<Page>, Refusal> {
        let parsed = parse(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        parsed.map(|request| request.map(|request| request.page))
    }

    #[test]
    fn pages() {
        assert_eq!(get("/"), Ok(Some(Page::Index)));
        assert_eq!(get("/stream"), Ok(Some(Page::Stream)));
        assert_eq!(get("/snapshot.jpg?17"), Ok(Some(Page::Snapshot)));
        assert_eq!(get("/metrics"), Ok(Some(Page::Metrics)));
        for path in ["/stream/", "/../etc/passwd", "/STREAM", "*", "//", "/%2e", "http://localhost/metrics"] {
            assert_eq!(get(path), Err(Refusal::NotFound), "{path}");
        }
        let head = parse(b"HEAD /metrics HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.page, head.head_only), (Page::Metrics, true));
    }

    #[test]
    fn hosts_of_the_loopback_interface() {
        let local = |host: &str| {
            let text = format!("GET / HTTP/1.1\r\nAccept: */*\r\nhOsT: {host}\r\n\r\n");
            parse(text.as_bytes()).unwrap().unwrap().host_is_loopback
        };
        for host in [
            "localhost",
            "LOCALHOST:9999",
            "localhost.",
            "a.localhost:80",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.8.9.10:1",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]:1",
            "[::ffff:127.0.0.1]:8080",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "192.168.0.7",
            "10.0.0.1:8080",
            "[::2]:1",
            "[::1",
            "[::1]x",
            "[::1].evil",
            "localhost:80:80",
            "localhost:x",
            "",
            "2130706433",
            "0.0.0.0",
            "[::]:80",
            "evil-localhost",
        ] {
            assert!(!local(host), "{host}");
        }
        assert!(parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().host_is_loopback, "browsers always send one");
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"), Err(Refusal::Bad));
    }

    #[test]
    fn what_is_refused() {
        for method in ["POST", "get", "DELETE", "OPTIONS", "CONNECT"] {
            assert_eq!(parse(format!("{method} / HTTP/1.1\r\n\r\n").as_bytes()), Err(Refusal::Method));
        }
        for bad in
            ["\0", "GET /\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "\u{16}\u{3}\u{1}"]
        {
            assert_eq!(parse(bad.as_bytes()), Err(Refusal::Bad), "{bad:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(parse(many.as_bytes()), Err(Refusal::TooLong));
        let long = format!("GET /{}", "a".repeat(MOST_BYTES - 5));
        assert_eq!(parse(long.as_bytes()), Err(Refusal::TooLong));
        assert_eq!(parse(&long.as_bytes()[..MOST_BYTES - 1]), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            if let Ok(None) = parse(&bytes) {
                prop_assert!(bytes.len() < MOST_BYTES);
            }
        }

        /// A complete request, or a refused one, stays so whatever follows.
        #[test]
        fn a_complete_request_needs_nothing_more(
            path in "[a-z/.?%]{0,30}",
            more in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let head = format!("GET /{path} HTTP/1.1\r\nAccept: */*\r\n\r\n");
            let known = parse(head.as_bytes());
            prop_assert!(!matches!(known, Ok(None) | Err(Refusal::Bad)));
            let longer = [head.as_bytes(), &more].concat();
            prop_assert_eq!(parse(&longer), known);
            for end in 0..head.len() {
                prop_assert_eq!(parse(&head.as_bytes()[..end]), Ok(None));
            }
        }
    }
}
