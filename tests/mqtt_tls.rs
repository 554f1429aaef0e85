//! `mqtts://` to a real mosquitto: certificates that are good, expired, of somebody else, for another name, and ours.

mod broker_support;
mod common;
mod sinks_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use broker_support::{Broker, Subscriber, have, have_mosquitto, wait_until};
use sinew::sink::{self, BrokerCounts, Sink};
use sinks_support::{put, schema};

/// Certificates that openssl makes.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for authority in ["ca", "other"] {
            this.openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "30",
                "-subj",
                &format!("/CN={authority}"),
                "-keyout",
                &format!("{authority}.key"),
                "-out",
                &format!("{authority}.pem"),
            ]);
        }
        this
    }

    /// A certificate of an authority, for a name or an address, that ends in this year.
    fn make(&self, file: &str, authority: &str, subject: &str, year: u32) {
        fs::write(self.path("ext"), format!("subjectAltName={subject}\n")).unwrap();
        let (key, request) = (format!("{file}.key"), format!("{file}.csr"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=x",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        fs::write(self.path("index.txt"), "").unwrap();
        fs::write(self.path("serial"), "1000\n").unwrap();
        let text = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\n\
                    [p]\ncommonName=supplied\n";
        fs::write(self.path("ca.cnf"), text).unwrap();
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-in",
            &request,
            "-cert",
            &format!("{authority}.pem"),
            "-keyfile",
            &format!("{authority}.key"),
            "-startdate",
            "20200101000000Z",
            "-enddate",
            &format!("{year}0101000000Z"),
            "-extfile",
            "ext",
            "-out",
            &format!("{file}.pem"),
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).output();
        let output = output.expect("openssl");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The configuration of a listener with a certificate.
    fn listener(&self, file: &str) -> String {
        let path = |name: String| self.path(&name).display().to_string();
        format!("certfile {}\nkeyfile {}\n", path(format!("{file}.pem")), path(format!("{file}.key")))
    }
}

/// Puts in some results; what was counted, once they have arrived or three attempts were made.
fn send(uri: &str) -> (Box<dyn Sink>, Arc<BrokerCounts>) {
    let options = sink::Options::default();
    let counts = Arc::clone(&options.broker);
    let mut sink = sink::open(uri, &schema(), &options).unwrap_or_else(|error| panic!("{error}"));
    put(sink.as_mut(), 0..200, 1);
    (sink, counts)
}

#[track_caller]
fn arrives(uri: &str) {
    let (mut sink, counts) = send(uri);
    wait_until("all results", || counts.sent() == 200);
    sink.finish().unwrap();
    assert_eq!((counts.dropped(), counts.connections()), (0, 1));
}

#[track_caller]
fn never_arrives(uri: &str) {
    let (mut sink, counts) = send(uri);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((counts.connections(), counts.sent(), counts.waiting()), (0, 0, 200), "{uri}");
    sink.finish().unwrap();
    assert_eq!(counts.dropped(), 200);
}

fn broker(certificates: &Certificates, file: &str, more: &str) -> Broker {
    let mut broker = Broker::new("allow_anonymous true\n", &(certificates.listener(file) + more));
    broker.begin();
    broker
}

fn uri(broker: &Broker, host: &str, ca: &Path) -> String {
    format!("mqtts://{host}:{}/hall?ca={}", broker.port, ca.display())
}

#[test]
fn only_the_right_broker_gets_anything() {
    if !have_mosquitto() || !have(&["openssl"]) {
        return;
    }
    let certificates = Certificates::new();
    certificates.make("good", "ca", "IP:127.0.0.1,DNS:localhost", 2099);
    certificates.make("expired", "ca", "IP:127.0.0.1", 2021);
    certificates.make("elsewhere", "ca", "DNS:broker.example", 2099);
    let (ca, other) = (certificates.path("ca.pem"), certificates.path("other.pem"));

    let good = broker(&certificates, "good", "");
    let tls = ["--cafile", ca.to_str().unwrap()];
    let subscriber = Subscriber::start(good.port, "hall", 1, None, &tls);
    arrives(&uri(&good, "127.0.0.1", &ca));
    arrives(&uri(&good, "localhost", &ca));
    arrives(&(uri(&good, "127.0.0.1", &ca) + "&qos=0"));
    wait_until("all results", || subscriber.results() == 600);
    // Of an authority that is not trusted, also by default; without TLS, and the other way round.
    never_arrives(&uri(&good, "127.0.0.1", &other));
    never_arrives(&format!("mqtt://127.0.0.1:{}/hall", good.port));
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        never_arrives(&format!("mqtts://127.0.0.1:{}/hall", good.port));
    }
    let plain = Broker::start();
    never_arrives(&uri(&plain, "127.0.0.1", &ca));
    for file in ["expired", "elsewhere"] {
        never_arrives(&uri(&broker(&certificates, file, ""), "127.0.0.1", &ca));
    }
    assert_eq!(subscriber.results(), 600);
}

#[test]
fn a_broker_may_want_our_certificate() {
    if !have_mosquitto() || !have(&["openssl"]) {
        return;
    }
    let certificates = Certificates::new();
    certificates.make("good", "ca", "IP:127.0.0.1", 2099);
    certificates.make("board", "ca", "DNS:board", 2099);
    certificates.make("stranger", "other", "DNS:board", 2099);
    let ca = certificates.path("ca.pem");
    let wanted = format!("require_certificate true\ncafile {}\n", ca.display());
    let broker = broker(&certificates, "good", &wanted);
    let plain = uri(&broker, "127.0.0.1", &ca);
    let with = |name: &str| {
        let path = |ending| certificates.path(&format!("{name}.{ending}")).display().to_string();
        format!("{plain}&cert={}&key={}", path("pem"), path("key"))
    };
    never_arrives(&plain);
    never_arrives(&with("stranger"));
    arrives(&with("board"));

    // Files that cannot be used are errors at the start.
    let refused =
        |uri: &str| sink::open(uri, &schema(), &sink::Options::default()).err().expect("an error").to_string();
    let key = certificates.path("board.key").display().to_string();
    let mismatch = format!("{plain}&cert={}&key={key}", certificates.path("stranger.pem").display());
    assert!(refused(&mismatch).contains("together"), "{}", refused(&mismatch));
    let no_certificate = format!("{plain}&cert={key}&key={key}");
    assert!(refused(&no_certificate).contains("no certificate"), "{}", refused(&no_certificate));
    let missing = format!("mqtts://127.0.0.1:{}/hall?ca=/nowhere/ca.pem", broker.port);
    assert!(refused(&missing).contains("/nowhere/ca.pem"), "{}", refused(&missing));
}
