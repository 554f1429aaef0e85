//! The other end, for tests in the small guest: a reader, a client that never reads, a service manager.
//!
//! ```text
//! peer read SOCKET                   prints what comes, until it is closed
//! peer hold SOCKET|HOST:PORT [TEXT]  connects, says TEXT, and never reads
//! peer supervise SECONDS COMMAND...  starts a command as systemd would a service with a watchdog of so many seconds: one that was
//!                                    ready and is then silent for so long is killed and started again; prints what it hears
//! ```

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

fn read(socket: &str) -> io::Result<()> {
    io::copy(&mut UnixStream::connect(socket)?, &mut io::stdout())?;
    Ok(())
}

fn hold(address: &str, text: &str) -> io::Result<()> {
    // Kept open until this process is killed.
    let mut stream: Box<dyn Write> = match address.contains('/') {
        true => Box::new(UnixStream::connect(address)?),
        false => Box::new(TcpStream::connect(address)?),
    };
    stream.write_all(text.as_bytes())?;
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn supervise(patience: Duration, command: &[String]) -> io::Result<()> {
    let path = format!("/tmp/notify-{}", std::process::id());
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut message = [0; 4096];
    loop {
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", patience.as_micros().to_string())
            .spawn()?;
        println!("started {}", child.id());
        // When it was heard last; before it is ready there is no watchdog.
        let mut heard = None;
        while child.try_wait()?.is_none() {
            if let Ok(length) = socket.recv(&mut message) {
                let states = String::from_utf8_lossy(&message[..length]).into_owned();
                states.lines().for_each(|state| println!("{state}"));
                let is_alive = |state: &str| state == "READY=1" || state == "WATCHDOG=1";
                if states.lines().any(is_alive) {
                    heard = Some(Instant::now());
                }
            }
            if heard.is_some_and(|heard| heard.elapsed() > patience) {
                println!("silent");
                child.kill()?;
                child.wait()?;
            }
        }
        println!("ended");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["read", socket] => read(socket),
        ["hold", address] => hold(address, ""),
        ["hold", address, text] => hold(address, text),
        ["supervise", seconds, _, ..] => match seconds.parse() {
            Ok(seconds) => supervise(Duration::from_secs(seconds), &arguments[2..]),
            Err(error) => Err(io::Error::other(format!("{seconds}: {error}"))),
        },
        _ => Err(io::Error::other("use read SOCKET, hold ADDRESS [TEXT], or supervise SECONDS COMMAND...")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}
