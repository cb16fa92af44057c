//! Runs the binary, and peers for it. Everything that is started ends with the value that stands for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// What the guide posts.
pub(crate) const GUIDE: &str = r#"{"events": ["first event", "second event", "..."]}"#;
/// A key that is searched for in everything that is printed.
pub(crate) const KEY: &str = "cmVjb2duaXNhYmxlLWtleQ";

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Standard output, which must be one JSON object.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The counts: accepted, rejected, not sent, unknown.
    pub(crate) fn counts(&self) -> [u64; 4] {
        let json = self.json();
        ["accepted", "rejected", "not_sent", "unknown"].map(|name| json[name].as_u64().unwrap())
    }
}

/// The command with nothing of this process' environment.
fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwire"));
    command.args(args).env_clear().envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `hubwire` to its end. No key may be in what it prints.
pub(crate) fn hubwire(args: &[&str], input: impl AsRef<[u8]>, env: &[(&str, &str)]) -> Run {
    let mut child = command(args, env).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // A child that reads nothing ends with its input unread.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run =
        Run { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!run.stdout.contains(KEY) && !run.stderr.contains(KEY), "a key was printed: {run:?}");
    run
}

/// Runs `hubwire` with standard output to the file `path`: the exit code, and standard error.
pub(crate) fn hubwire_into(path: &str, args: &[&str]) -> (i32, String) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let output = command(args, &[]).stdout(file).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

/// Runs `hubwire send` without a connection string.
pub(crate) fn send(args: &[&str], input: impl AsRef<[u8]>) -> Run {
    hubwire(&[&["send"], args].concat(), input, &[])
}

/// Runs `hubwire send --output json` with a connection string.
pub(crate) fn send_to(connection_string: &str, args: &[&str], input: impl AsRef<[u8]>) -> Run {
    let args = [&["send", "--output", "json"], args].concat();
    hubwire(&args, input, &[("CONNECTION_STR", connection_string)])
}

/// The connection string of whatever listens on `port` of this machine.
pub(crate) fn connection_string(port: u16) -> String {
    format!(
        "Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath=telemetry;\
         UseDevelopmentEmulator=true"
    )
}

/// A child that is running. Killed when dropped, if it still is.
pub(crate) struct Running {
    child: Child,
    /// Unless it goes into a file.
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    /// What standard error said until the child was ready.
    pub(crate) introduction: Vec<String>,
}

impl Running {
    /// Starts `hubwire emulator` on a free port and waits for its ready line. Its memory is touched as events come: they are few.
    pub(crate) fn emulator(args: &[&str]) -> Self {
        Self::emulator_at(&[&["--listen", "127.0.0.1:0", "--pretouch", "0"], args].concat())
    }

    /// The same wherever the arguments say.
    pub(crate) fn emulator_at(args: &[&str]) -> Self {
        let mut child = command(&[&["emulator"], args].concat(), &[]).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self::ready(child, stdout)
    }

    /// Starts a command that tells when it is ready.
    pub(crate) fn command(args: &[&str]) -> Self {
        Self::command_with(args, &[])
    }

    /// The same in an environment.
    pub(crate) fn command_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = command(args, env).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self::ready(child, stdout)
    }

    /// Starts `hubwire receive`.
    pub(crate) fn receive(connection_string: &str, args: &[&str]) -> Self {
        let args = [&["receive"], args].concat();
        let mut child = command(&args, &[("CONNECTION_STR", connection_string)]).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout, introduction: Vec::new() }
    }

    /// Starts `hubwire bench`.
    #[cfg(unix)]
    pub(crate) fn bench(args: &[&str]) -> Self {
        let mut child = command(&[&["bench"], args].concat(), &[]).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout, introduction: Vec::new() }
    }

    /// Reads standard error until a line has `words` in it.
    #[cfg(unix)]
    pub(crate) fn until_told(&mut self, words: &str) {
        let mut stderr = BufReader::with_capacity(1, self.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "ended without {words:?}");
        }
        self.child.stderr = Some(stderr.into_inner());
    }

    /// The same with standard output to the file `path`.
    pub(crate) fn emulator_into(path: &str, args: &[&str]) -> Self {
        let args = [&["emulator", "--listen", "127.0.0.1:0"], args].concat();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        Self::ready(command(&args, &[]).stdout(file).spawn().unwrap(), None)
    }

    fn ready(mut child: Child, stdout: Option<BufReader<ChildStdout>>) -> Self {
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut introduction = Vec::new();
        let is_ready = |line: &String| line.contains(" ready on ") || line.starts_with(r#"{"event":"ready""#);
        while !introduction.last().is_some_and(is_ready) {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "ended early: {introduction:?}");
            introduction.push(line.trim_end().to_owned());
        }
        child.stderr = Some(stderr.into_inner());
        Self { child, stdout, introduction }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the line that begins with `label`.
    pub(crate) fn told(&self, label: &str) -> &str {
        self.introduction.iter().find_map(|line| line.strip_prefix(label)).unwrap()
    }

    pub(crate) fn connection_string(&self) -> &str {
        self.told("connection string: ")
    }

    /// The next line of standard output, as JSON.
    pub(crate) fn event(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a signal, and waits for the end: exit code and the rest of standard error.
    #[cfg(unix)]
    pub(crate) fn end(self, signal: &str) -> (i32, String) {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end: exit code and the rest of standard error.
    pub(crate) fn wait(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `hubwire send` whose input stays open.
pub(crate) struct Sending {
    child: Child,
}

impl Sending {
    pub(crate) fn start(connection_string: &str, args: &[&str]) -> Self {
        let args = [&["send", "--output", "json"], args].concat();
        let child = command(&args, &[("CONNECTION_STR", connection_string)]).spawn().unwrap();
        Self { child }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Reads no result.
    pub(crate) fn leave(&mut self) {
        drop(self.child.stdout.take());
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a signal and waits for the end, the input still open.
    #[cfg(unix)]
    pub(crate) fn end(mut self, signal: &str) -> Run {
        self.signal(signal);
        self.wait()
    }

    /// Ends the input and waits for the end.
    pub(crate) fn finish(mut self) -> Run {
        drop(self.child.stdin.take());
        self.wait()
    }

    fn wait(&mut self) -> Run {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut reader) = self.child.stdout.take() {
            reader.read_to_string(&mut stdout).unwrap();
        }
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Run { code, stdout, stderr }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer that treats one connection as `serve` says; its port.
pub(crate) fn peer(serve: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with its connection, or with the tests if nobody connects.
    thread::spawn(move || serve(listener.accept().unwrap().0));
    port
}

/// Passes one connection on to `port`, and cuts it as soon as the client says `last_word`, which is not passed on; its port.
pub(crate) fn cut_off_at(last_word: &'static str, port: u16) -> u16 {
    peer(move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        let (mut said, mut buf) = (Vec::new(), [0; 4_096]);
        let is_last = |said: &[u8]| said.windows(last_word.len()).any(|window| window == last_word.as_bytes());
        loop {
            let len = client.read(&mut buf).unwrap();
            said.extend_from_slice(&buf[..len]);
            if len == 0 || is_last(&said) {
                break;
            }
            server.write_all(&buf[..len]).unwrap();
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        let _ = back.join();
    })
}

/// Passes one connection on to `port`, until the client says `last_word`: from then on nothing passes in either
/// direction, and nothing is closed. Its port, and what tells that the word was said.
pub(crate) fn silent_after(last_word: &'static str, port: u16) -> (u16, mpsc::Receiver<()>) {
    let (told, was_said) = mpsc::channel();
    let port = peer(move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        let (mut said, mut buf) = (Vec::new(), [0; 4_096]);
        let is_last = |said: &[u8]| said.windows(last_word.len()).any(|window| window == last_word.as_bytes());
        while !is_last(&said) {
            let len = client.read(&mut buf).unwrap();
            assert_ne!(len, 0, "the client left early");
            said.extend_from_slice(&buf[..len]);
            if !is_last(&said) {
                server.write_all(&buf[..len]).unwrap();
            }
        }
        told.send(()).unwrap();
        // Held until the client is gone.
        let _ = client.read_to_end(&mut Vec::new());
    });
    (port, was_said)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
