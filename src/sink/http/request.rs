//! What a client asks for.

use std::io::{self, ErrorKind, Read};

/// Most bytes of a request: its line and its headers.
pub const MOST_BYTES: usize = 8 << 10;
/// Most headers of one.
const MOST_HEADERS: usize = 64;

/// What there is to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The page with the moving image.
    Index,
    /// The moving image.
    Stream,
    /// One image.
    Snapshot,
    /// The numbers.
    Metrics,
}

/// Why a client gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// This is no request.
    Bad,
    /// There is no such page.
    NotFound,
    /// Something else than GET.
    Method,
    /// The request did not come in time.
    Timeout,
    /// The request is longer than [`MOST_BYTES`], or has too many headers.
    TooLong,
    /// There are too many clients, or there is no image.
    Busy,
}

impl Refusal {
    /// The status line's number and text.
    pub fn status(self) -> &'static str {
        match self {
            Self::Bad => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Busy => "503 Service Unavailable",
        }
    }
}

/// Understands a request of which `bytes` have come; `None` where more must come first.
///
/// # Errors
/// Where it is no request, or asks for what there is not.
pub fn parse(bytes: &[u8]) -> Result<Option<Page>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() >= MOST_BYTES => return Err(Refusal::TooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Bad),
    }
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    let target = request.path.unwrap_or_default();
    // Browsers add a query to get an image anew.
    match target.split_once('?').map_or(target, |(path, _)| path) {
        "/" => Ok(Some(Page::Index)),
        "/stream" => Ok(Some(Page::Stream)),
        "/snapshot.jpg" => Ok(Some(Page::Snapshot)),
        "/metrics" => Ok(Some(Page::Metrics)),
        _ => Err(Refusal::NotFound),
    }
}

/// Reads a request; never more than [`MOST_BYTES`]. `client` answers [`ErrorKind::TimedOut`] when it has taken too long.
///
/// # Errors
/// As [`parse`], and where it does not come in time; the outer error where the client has gone.
pub fn read(client: &mut impl Read) -> io::Result<Result<Page, Refusal>> {
    let mut bytes = [0; MOST_BYTES];
    let mut length = 0;
    loop {
        match client.read(&mut bytes[length..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(Err(Refusal::Timeout)),
            Err(error) => return Err(error),
        }
        match parse(&bytes[..length]) {
            Ok(None) => {}
            Ok(Some(page)) => return Ok(Ok(page)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages() {
        let get = |path: &str| parse(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(get("/"), Ok(Some(Page::Index)));
        assert_eq!(get("/stream"), Ok(Some(Page::Stream)));
        assert_eq!(get("/snapshot.jpg?17"), Ok(Some(Page::Snapshot)));
        assert_eq!(get("/metrics"), Ok(Some(Page::Metrics)));
        for path in ["/stream/", "/../etc/passwd", "/STREAM", "*", "//", "/%2e"] {
            assert_eq!(get(path), Err(Refusal::NotFound), "{path}");
        }
    }

    #[test]
    fn what_is_refused() {
        for method in ["POST", "HEAD", "get", "DELETE", "OPTIONS"] {
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

    /// Gives a few bytes at a time, then fails.
    struct Slow<'a>(&'a [u8], usize, ErrorKind);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!buffer.is_empty(), "there is always room: what has none is refused");
            if self.0.is_empty() {
                return Err(self.2.into());
            }
            let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            self.0 = later;
            Ok(now.len())
        }
    }

    #[test]
    fn a_request_may_come_in_pieces_but_not_for_ever() {
        let whole = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        for step in [1, 2, 7, 100] {
            let page = read(&mut Slow(whole, step, ErrorKind::TimedOut)).unwrap();
            assert_eq!(page, Ok(Page::Metrics));
        }
        let half = read(&mut Slow(&whole[..30], 7, ErrorKind::TimedOut)).unwrap();
        assert_eq!(half, Err(Refusal::Timeout));
        assert!(read(&mut Slow(&whole[..30], 7, ErrorKind::ConnectionReset)).is_err());
        assert!(read(&mut &whole[..30]).is_err(), "the client has gone");
        let endless = [b'a'; 3 * MOST_BYTES];
        assert_eq!(read(&mut Slow(&endless, 1000, ErrorKind::TimedOut)).unwrap(), Err(Refusal::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            if let Ok(None) = parse(&bytes) {
                prop_assert!(bytes.len() < MOST_BYTES);
            }
        }

        /// What was understood, or refused as no request, stays so whatever follows.
        #[test]
        fn a_whole_request_needs_nothing_more(
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
