//! Where answers go. A FIFO is opened for each, written at once, and closed at once: a host that has parsed an answer lets go of
//! its end, and takes whoever still has the other for the next writer. Source: algorithm-process 2.5.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::{fs::File, time::Duration};
#[cfg(unix)]
use tokio::runtime::{Builder, Runtime};

use super::process::ProcessError;
#[cfg(unix)]
use crate::clock;

/// For a reader to come, and as long again for it to take the answer.
#[cfg(unix)]
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks for a reader: at first, and at most.
#[cfg(unix)]
const LOOKS: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));
/// What opening a FIFO for writing says that nobody reads, on every system that has them.
#[cfg(unix)]
const ENXIO: i32 = 6;
/// Bytes that a pipe takes all at once or not at all: Linux' own number, and the least that there may be elsewhere.
#[cfg(unix)]
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4_096 } else { 512 };

/// See the module.
pub(super) struct Response {
    path: PathBuf,
    /// Opens a FIFO without waiting for its reader, once there is one: nothing runs on it.
    #[cfg(unix)]
    runtime: Option<Runtime>,
}

impl Response {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            #[cfg(unix)]
            runtime: None,
        }
    }

    /// Writes one answer, with its line's end. A reader that has gone has its answer, or wants none: that is told on
    /// standard error.
    pub(super) fn write(&mut self, answer: &[u8]) -> Result<(), ProcessError> {
        match self.try_write(answer) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                let _ = writeln!(io::stderr(), "the host left before it had read the answer");
                Ok(())
            }
            written => {
                let path = || self.path.display().to_string();
                written.map_err(|source| ProcessError::Response { path: path(), source })
            }
        }
    }

    fn try_write(&mut self, answer: &[u8]) -> io::Result<()> {
        if self.path == Path::new("-") {
            let mut stdout = io::stdout().lock();
            return stdout.write_all(answer).and_then(|()| stdout.flush());
        }
        #[cfg(unix)]
        if is_fifo(&self.path)? {
            return self.write_to_fifo(answer);
        }
        OpenOptions::new().append(true).open(&self.path)?.write_all(answer)
    }

    #[cfg(unix)]
    fn write_to_fifo(&mut self, answer: &[u8]) -> io::Result<()> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => Builder::new_current_thread().enable_io().build()?,
        };
        let fifo = {
            let _context = self.runtime.insert(runtime).enter();
            reader_of(&self.path)?
        };
        write_all(fifo, answer)
    }
}

#[cfg(unix)]
impl Drop for Response {
    fn drop(&mut self) {
        // Without waiting: a handler may be run where that is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(unix)]
fn is_fifo(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    Ok(std::fs::metadata(path)?.file_type().is_fifo())
}

/// The end to write to, as soon as somebody has the other: a host opens it when it has written its request. Opening it in the
/// ordinary way would wait for ever for a host that is gone.
#[cfg(unix)]
fn reader_of(path: &Path) -> io::Result<File> {
    retry("nobody reads it", || match tokio::net::unix::pipe::OpenOptions::new().open_sender(path) {
        Err(error) if error.raw_os_error() == Some(ENXIO) => Ok(None),
        // Out of the runtime's hands: what it would do at the close would make that late.
        opened => opened?.into_nonblocking_fd().map(|fd| Some(File::from(fd))),
    })
}

/// In one piece, or, of what is longer than a pipe takes at once, the end of it: a reader that has all it wanted leaves nothing to
/// write. The file is closed with the last byte: the host must not find it open when it opens its end again.
#[cfg(unix)]
fn write_all(mut fifo: impl Write, answer: &[u8]) -> io::Result<()> {
    let (mut beginning, end) = answer.split_at(answer.len().saturating_sub(PIPE_BUF));
    retry("its reader takes nothing", || {
        while !beginning.is_empty() {
            match if_taken(fifo.write(beginning))? {
                Some(len) => beginning = &beginning[len..],
                None => return Ok(None),
            }
        }
        if_taken(fifo.write(end))
    })?;
    Ok(())
}

/// `None` for a pipe that has no room for now.
#[cfg(unix)]
fn if_taken(written: io::Result<usize>) -> io::Result<Option<usize>> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        written => written.map(Some),
    }
}

/// Does `step` until it has something, for as long as one may wait. Looking is all there is: whoever waits here waits for
/// microseconds, mostly, and a runtime's timers know no such.
#[cfg(unix)]
fn retry<T>(lack: &str, mut step: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    let until = clock::now() + READ_WITHIN;
    let mut pause = LOOKS.0;
    loop {
        if let Some(done) = step()? {
            return Ok(done);
        }
        if clock::now() >= until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{lack}, for {READ_WITHIN:?}")));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOOKS.1);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Command;
    use std::thread;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("hubwire-response-{name}-{}", std::process::id()))
    }

    fn fifo(name: &str) -> PathBuf {
        let path = path(name);
        let _ = std::fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
        path
    }

    #[test]
    fn an_answer_is_there_in_one_piece_and_its_fifo_closed_when_it_is_written() {
        let path = fifo("piece");
        let mut response = Response::new(path.clone());
        // As much as a pipe takes at once.
        for len in [1, 88, PIPE_BUF] {
            let answer = vec![b'x'; len];
            let reading = thread::spawn({
                let path = path.clone();
                move || File::open(path).expect("it is there")
            });
            response.write(&answer).expect("it has a reader");
            let mut reader = reading.join().expect("no panic");
            let mut first = vec![0; 2 * len];
            assert_eq!(reader.read(&mut first).expect("it is there"), len, "in one piece");
            assert_eq!(reader.read(&mut first).expect("its end"), 0, "nobody has it open any more");
        }
        std::fs::remove_file(path).expect("it is there");
    }

    /// A pipe with so much room that is read as soon as it is full.
    struct Pipe {
        room: usize,
        held: usize,
        pieces: Vec<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let free = self.room - self.held;
            let len = if bytes.len() <= PIPE_BUF && bytes.len() > free { 0 } else { bytes.len().min(free) };
            if len == 0 {
                self.held = 0;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.held += len;
            self.pieces.push(bytes[..len].to_vec());
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_of_an_answer_comes_in_one_piece_whatever_room_there_is() {
        for room in [PIPE_BUF, 65_536] {
            for len in [PIPE_BUF + 1, room - 1, room, room + 1, room + 2, 2 * room + 1, 300_000] {
                let answer: Vec<u8> = (0..len).map(|number| number as u8).collect();
                let mut pipe = Pipe { room, held: 0, pieces: Vec::new() };
                write_all(&mut pipe, &answer).expect("it is read");
                assert_eq!(pipe.pieces.last().map(Vec::len), Some(len.min(PIPE_BUF)), "{len} bytes, {room} of room");
                assert_eq!(pipe.pieces.concat(), answer);
            }
        }
    }

    #[tokio::test]
    async fn a_handler_may_answer_from_inside_of_a_task() {
        let path = fifo("task");
        let reading = thread::spawn({
            let path = path.clone();
            move || std::fs::read(path).expect("it can be read")
        });
        Response::new(path.clone()).write(b"{}\n").expect("it has a reader");
        assert_eq!(reading.join().expect("no panic"), b"{}\n");
        std::fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn a_long_answer_is_written_as_its_reader_reads() {
        let path = fifo("long");
        let answer: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let reading = thread::spawn({
            let path = path.clone();
            move || std::fs::read(path).expect("it can be read")
        });
        Response::new(path.clone()).write(&answer).expect("it has a reader");
        assert_eq!(reading.join().expect("no panic"), answer);
        std::fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn answers_are_added_to_a_file() {
        let path = path("file");
        std::fs::write(&path, "").expect("a file");
        let mut response = Response::new(path.clone());
        response.write(b"one\n").and_then(|()| response.write(b"two\n")).expect("it can be written");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "one\ntwo\n");
        std::fs::remove_file(path).expect("it is there");
    }
}
