//! The host's server, as `algorithm-process` 2 has it: one child, a line a request, a FIFO that is opened for each answer and
//! let go of as soon as one JSON value is parsed.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::now;

/// A key that is searched for in everything that the child says.
pub(crate) const KEY: &str = "cmVjb2duaXNhYmxlLWtleQ";
/// What the server waits for.
const READY: &str = "PIPE_INIT_COMPLETE";
/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it looks whether its child is there.
const LOOK: Duration = Duration::from_millis(20);

/// What the server would answer its caller.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    Result {
        result: Value,
        content_type: String,
    },
    Error {
        message: String,
        error_type: String,
    },
    /// The server ends itself, and with it its slot.
    SystemExit(String),
}

impl Told {
    /// Of an error: its type and its words.
    #[track_caller]
    pub(crate) fn error(self) -> (String, String) {
        match self {
            Self::Error { message, error_type } => (error_type, message),
            other => panic!("no error: {other:?}"),
        }
    }

    /// Of a reply: how many were accepted.
    #[track_caller]
    pub(crate) fn accepted(self) -> u64 {
        match self {
            Self::Result { result, content_type } if content_type == "json" => {
                result["accepted"].as_u64().expect("a count")
            }
            other => panic!("no reply: {other:?}"),
        }
    }
}

/// A path for a FIFO, which is gone with the value.
pub(crate) struct Fifo(pub(crate) PathBuf);

impl Fifo {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hubwire-algoout-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
        Self(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The server and its child.
pub(crate) struct Host {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) fifo: Fifo,
    logs: [Arc<Mutex<String>>; 2],
    readers: Vec<JoinHandle<()>>,
}

impl Host {
    /// Starts `hubwire algorithm` with nothing of this process' environment, and waits for the ready word.
    pub(crate) fn start(env: &[(&str, &str)], args: &[&str]) -> Self {
        Self::start_command(|fifo| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hubwire"));
            command.arg("algorithm").args(args).arg("--response").arg(fifo).env_clear().envs(env.iter().copied());
            command
        })
    }

    /// The same for any program that is told of its FIFO.
    pub(crate) fn start_command(command: impl FnOnce(&Path) -> Command) -> Self {
        let fifo = Fifo::new();
        let mut command = command(&fifo.0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let logs: [Arc<Mutex<String>>; 2] = Default::default();
        let (ready, is_ready) = mpsc::channel();
        let readers = vec![collect(stdout, &logs[0], Some(ready)), collect(stderr, &logs[1], None)];
        is_ready
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|why| panic!("loading failed: {why}: {}", logs[1].lock().expect("no panic")));
        let stdin = child.stdin.take();
        Self { child, stdin, fifo, logs, readers }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line, and leaves its answer to be read.
    pub(crate) fn write(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(line).and_then(|()| stdin.write_all(b"\n")).expect("the child reads");
    }

    /// Posts JSON.
    pub(crate) fn post(&mut self, data: &Value) -> Told {
        self.post_line(json!({ "content_type": "json", "data": data }).to_string().as_bytes())
    }

    /// Posts whatever it is: writes the line, then opens the FIFO.
    pub(crate) fn post_line(&mut self, line: &[u8]) -> Told {
        self.write(line);
        self.answer()
    }

    /// Reads one answer, or notices that the child is gone.
    pub(crate) fn answer(&mut self) -> Told {
        let (told, answer) = mpsc::channel();
        let (path, child) = (self.fifo.0.clone(), self.child.id());
        // It blocks until somebody writes: with the child gone, for ever.
        thread::spawn(move || told.send(read_one(&path, child)));
        let until = now() + PATIENCE;
        loop {
            assert!(now() < until, "no answer within {PATIENCE:?}: {}", self.stderr());
            match answer.recv_timeout(LOOK) {
                Ok(value) => {
                    let text = format!("{value:?}");
                    assert!(!text.contains(KEY), "a key was told: {text}");
                    return understand(value);
                }
                Err(_) => {
                    if let Some(status) = self.child.try_wait().expect("a child") {
                        return Told::SystemExit(format!("exited with {status}: {}", self.stderr()));
                    }
                }
            }
        }
    }

    /// Waits until standard error has said `words` so many times.
    pub(crate) fn until_stderr_has(&self, times: usize, words: &str) {
        let until = now() + PATIENCE;
        while self.stderr().matches(words).count() < times {
            assert!(now() < until, "not {times} times {words:?}: {}", self.stderr());
            thread::sleep(LOOK);
        }
    }

    fn exit(&mut self) -> ExitStatus {
        let until = now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(now() < until, "it does not end: {}", self.stderr());
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn stderr(&self) -> String {
        self.logs[1].lock().expect("no panic").clone()
    }

    /// Ends the input and waits for the end: exit code, standard output, standard error.
    pub(crate) fn end(mut self) -> (i32, String, String) {
        drop(self.stdin.take());
        let code = self.exit().code().unwrap_or(-1);
        self.readers.drain(..).for_each(|reader| reader.join().expect("no panic"));
        let [stdout, stderr] = self.logs.clone().map(|log| log.lock().expect("no panic").clone());
        assert!(!stdout.contains(KEY) && !stderr.contains(KEY), "a key was printed: {stdout} {stderr}");
        (code, stdout, stderr)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects what the child says, and tells of the ready word wherever it stands in a line.
fn collect(
    stream: impl Read + Send + 'static,
    log: &Arc<Mutex<String>>,
    ready: Option<mpsc::Sender<()>>,
) -> JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut ready = ready;
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|len| len > 0) {
            log.lock().expect("no panic").push_str(&line);
            if line.contains(READY)
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(());
            }
            line.clear();
        }
    })
}

/// Opens the FIFO, parses one JSON value, and lets go of it at once.
fn read_one(path: &Path, child: u32) -> Result<Value, String> {
    let fifo = File::open(path).map_err(|error| error.to_string())?;
    let mut values = serde_json::Deserializer::from_reader(fifo).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("No more JSON to read from the stream".to_owned()),
    };
    drop(values);
    match left_open(path, child) {
        Some(why) if value.is_ok() => Err(why),
        _ => value,
    }
}

/// What is wrong with how `child` leaves the FIFO, if anything. Before it opens it again, a server answers its caller over HTTP and is
/// asked anew. What that time is enough for, on any machine that is not too busy to give its child a turn, is waited for here: that
/// the child, too, has let go of the FIFO. One that sleeps meanwhile does not only lack a turn, and is the next request's end.
#[cfg(target_os = "linux")]
fn left_open(path: &Path, child: u32) -> Option<String> {
    use std::os::unix::fs::OpenOptionsExt;
    const O_NONBLOCK: i32 = 0o4000;
    let is_open = || {
        let fifo = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
        // Its last byte, or nothing yet, and not its end.
        fifo.is_ok_and(|mut fifo| !matches!(fifo.read(&mut [0]), Ok(0)))
    };
    // With all of its threads.
    let sleeps = || {
        let mut tasks = std::fs::read_dir(format!("/proc/{child}/task")).into_iter().flatten().flatten();
        tasks.all(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            status.lines().any(|line| line == "State:\tS (sleeping)")
        })
    };
    let until = now() + PATIENCE;
    while is_open() {
        if sleeps() && is_open() {
            return Some("the child has answered, and sleeps with the FIFO open".to_owned());
        }
        if now() > until {
            return Some(format!("the child has the FIFO open {PATIENCE:?} after its answer"));
        }
        thread::yield_now();
    }
    None
}

#[cfg(not(target_os = "linux"))]
fn left_open(_: &Path, _: u32) -> Option<String> {
    thread::sleep(LOOK);
    None
}

/// As the server does: the shapes that it knows, and its own end for any other.
fn understand(value: Result<Value, String>) -> Told {
    let value = match value {
        Ok(value) => value,
        Err(why) => return Told::SystemExit(why),
    };
    let content_type = value["metadata"]["content_type"].as_str();
    if let (Some(result), Some(content_type)) = (value.get("result"), content_type) {
        return Told::Result { result: result.clone(), content_type: content_type.to_owned() };
    }
    let error = &value["error"];
    let error_type = error["error_type"].as_str().unwrap_or("AlgorithmError").to_owned();
    match error["message"].as_str() {
        Some(message) if error_type != "SystemExit" => Told::Error { message: message.to_owned(), error_type },
        _ => Told::SystemExit(format!("data did not match any variant: {value}")),
    }
}
