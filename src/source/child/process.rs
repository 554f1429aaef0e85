//! A program that writes frames to its standard output, started, read and ended by this one.
//!
//! Its standard input is empty apart from what it is given at the start. It is in a process group of its own so that Ctrl-C reaches only
//! this program, and never outlives it. Its standard error is read and discarded, except for the last lines.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::last_lines::LastLines;
use super::sys;

/// How long a program may take to end before it is killed.
const GRACE: Duration = Duration::from_millis(200);
/// Poll interval for its end.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Size of the pipe, if the system allows it: fewer context switches.
const PIPE_BYTES: i32 = 1 << 20;
/// Maximum bytes of standard error read between frames: a flood does not delay them.
const AT_A_TIME: usize = 1 << 14;
/// Maximum reads in a row of discarded output: a program that never stops writing is not waited for.
const AT_ONCE: usize = 128;

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// So many bytes.
    Bytes(usize),
    /// None in time.
    Nothing,
    /// It has closed its standard output.
    End,
}

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdout: ChildStdout,
    /// `None` once it is closed.
    stderr: Option<ChildStderr>,
    said: LastLines,
    scratch: Box<[u8]>,
}

impl Process {
    /// Starts `command`, with `input` on its standard input.
    pub fn start(mut command: Command, input: Option<&[u8]>) -> io::Result<Self> {
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        sys::ends_with_us(&mut command);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let (said, scratch) = (LastLines::default(), vec![0; AT_A_TIME].into());
        // From here on dropping it ends the program.
        let process = Self { child, stdout, stderr: Some(stderr), said, scratch };
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A few lines, which fit the pipe whether they are read or not. A program that ends before reading them says why.
            match stdin.write_all(input) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        sys::do_not_wait(process.stdout.as_fd())?;
        if let Some(stderr) = &process.stderr {
            sys::do_not_wait(stderr.as_fd())?;
        }
        sys::enlarge(process.stdout.as_fd(), PIPE_BYTES);
        Ok(process)
    }

    /// Reads what it writes, waiting for at most `timeout`.
    pub fn read(&mut self, into: &mut [u8], timeout: Duration) -> io::Result<Output> {
        let until = Instant::now() + timeout;
        loop {
            match self.stdout.read(into) {
                Ok(0) => {
                    self.listen();
                    return Ok(Output::End);
                }
                Ok(count) => return Ok(Output::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let left = until.saturating_duration_since(Instant::now());
            self.wait(left)?;
            self.listen();
            if left.is_zero() {
                return Ok(Output::Nothing);
            }
        }
    }

    /// Waits for any output.
    fn wait(&self, timeout: Duration) -> io::Result<()> {
        match &self.stderr {
            Some(stderr) => sys::wait([self.stdout.as_fd(), stderr.as_fd()], timeout),
            None => sys::wait([self.stdout.as_fd()], timeout),
        }
    }

    /// Reads standard error without waiting; returns whether there was any.
    fn listen(&mut self) -> bool {
        let Some(stderr) = &mut self.stderr else { return false };
        match stderr.read(&mut self.scratch) {
            Ok(count) if count > 0 => {
                self.said.push(&self.scratch[..count]);
                return true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => self.stderr = None,
        }
        false
    }

    /// Waits briefly for a program that has closed its standard output; returns its exit status and last output.
    pub fn ended(&mut self) -> (Option<ExitStatus>, &LastLines) {
        let status = self.wait_for_end();
        // What it said when it ended: not more than a pipe holds.
        for _ in 0..AT_ONCE {
            if !self.listen() {
                break;
            }
        }
        (status, &self.said)
    }

    /// Its last output.
    pub fn said(&self) -> &LastLines {
        &self.said
    }

    /// Its exit status, if it ends within the grace period.
    fn wait_for_end(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + GRACE;
        loop {
            // Its end may hang on a pipe that is full.
            self.listen();
            for _ in 0..AT_ONCE {
                if !matches!(self.stdout.read(&mut self.scratch), Ok(count) if count > 0) {
                    break;
                }
            }
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(POLL_INTERVAL),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Process {
    /// Asks it to end, so that ffmpeg can close a session and GStreamer release a sensor; kills it if it does not.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        sys::interrupt(&self.child);
        if self.wait_for_end().is_none() {
            sys::kill(&self.child);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command, None).unwrap()
    }

    /// Everything that it writes, and what it said.
    fn read(process: &mut Process) -> (Vec<u8>, Option<i32>, String) {
        let (mut all, mut part) = (Vec::new(), [0; 1000]);
        loop {
            match process.read(&mut part, Duration::from_secs(30)).unwrap() {
                Output::Bytes(count) => all.extend_from_slice(&part[..count]),
                Output::End => break,
                Output::Nothing => panic!("nothing for 30 s"),
            }
        }
        let (status, said) = process.ended();
        (all, status.and_then(|status| status.code()), said.quote(&[]))
    }

    #[test]
    fn output_and_end_are_told() {
        assert_eq!(read(&mut start("echo out; echo err >&2; exit 3")), (b"out\n".to_vec(), Some(3), "err".to_owned()));
        // Standard input stays empty.
        assert_eq!(read(&mut start("cat")).0, b"");
        let mut command = Command::new("cat");
        command.arg("-");
        assert_eq!(read(&mut Process::start(command, Some(b"given")).unwrap()).0, b"given");
        // Its output is not read.
        assert_eq!(read(&mut Process::start(Command::new("true"), Some(b"given")).unwrap()).1, Some(0));
    }

    #[test]
    fn a_flood_of_messages_holds_nothing_up() {
        let flood = "i=0; while [ $i -lt 20000 ]; do echo a long line of complaints number $i >&2; i=$((i+1)); done; echo frame";
        let (out, code, said) = read(&mut start(flood));
        assert_eq!((out.as_slice(), code), (&b"frame\n"[..], Some(0)));
        assert!(said.ends_with("number 19999"), "{said}");
    }

    #[test]
    fn nothing_is_left_behind() {
        for script in [
            "sleep 1000",
            "trap '' INT; while :; do echo x; done",
            "exec >&- 2>&-; trap '' INT; while :; do sleep 1; done",
        ] {
            let mut process = start(script);
            let _ = process.read(&mut [0; 10], Duration::from_millis(200)).unwrap();
            let number = process.child.id();
            let begun = Instant::now();
            drop(process);
            assert!(begun.elapsed() < Duration::from_secs(5), "{script}");
            assert!(!std::path::Path::new(&format!("/proc/{number}")).exists(), "{script}");
        }
    }
}
