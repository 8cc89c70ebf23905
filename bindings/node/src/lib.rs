//! The native module of the Node.js package: an engine and the conversation with it, as
//! `offhook::client::rpc` has it, carried by strings in memory.
//!
//! Each engine has a thread with its conversation. Requests come in through a bounded queue, and
//! everything that goes out, replies and events alike, through one function of JavaScript, in order.
//! What JavaScript has not taken yet is bounded too: then the conversation waits, and the engine
//! goes on with its journal. Nothing here waits on the thread of JavaScript.

use std::sync::Arc;
use std::thread::Builder;

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Error, Result, Status};
use napi_derive::napi;
use offhook::client::rpc::{self, LINE_BYTES_MAX, Line, Opening, Out, Session};
use offhook::{Code, Engine};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

/// Requests that wait to be looked at. As many as there can be commands without a verdict.
const LINES_AHEAD_MAX: usize = 1_000;
/// Room beside it that is kept for logout and shutdown: an end is never refused for what waits.
const LAST_LINES_MAX: usize = 2;
/// Lines that wait for the conversation's writer.
const LINES_OUT_MAX: usize = 256;
/// Lines that JavaScript has been given and has not taken.
const LINES_TAKEN_MAX: usize = 256;

/// Gives a line to JavaScript. It does not keep the process alive: that is decided there.
type Say = ThreadsafeFunction<String, (), String, Status, false, true>;

/// An engine, and the conversation with it.
#[napi]
pub struct Conversation {
    input: mpsc::Sender<Line>,
    /// One for each line that JavaScript may be given; closed when there is nobody to give to.
    room: Arc<Semaphore>,
}

#[napi]
impl Conversation {
    /// Begins to open an engine, see `rpc::Opening`. `say` gets every line; the first is the reply with id 0,
    /// once the engine is open or could not be opened.
    #[napi(constructor)]
    pub fn new(config: String, say: Function<'_, String, ()>) -> Result<Self> {
        map_large_buffers();
        let say = say
            .build_threadsafe_function::<String>()
            .weak::<true>()
            .build()?;
        let (input, lines) = mpsc::channel(LINES_AHEAD_MAX + LAST_LINES_MAX);
        let room = Arc::new(Semaphore::new(LINES_TAKEN_MAX));
        let listener = Listener {
            say,
            room: Arc::clone(&room),
        };
        Builder::new()
            .name("offhook-node".into())
            .spawn(move || run(&config, lines, &listener))
            .map_err(|error| failed(format_args!("cannot start a thread: {error}")))?;
        Ok(Self { input, room })
    }

    /// Gives a request. False: too many wait already, or the conversation has ended.
    #[napi]
    pub fn send(&self, line: String) -> bool {
        // Nobody else sends, so what has room here has it below.
        self.input.capacity() > LAST_LINES_MAX && self.send_last(line)
    }

    /// Gives one of the last requests, logout and shutdown, for which there is room. False: the conversation
    /// has ended.
    #[napi]
    pub fn send_last(&self, line: String) -> bool {
        let line = if line.len() > LINE_BYTES_MAX {
            Line::TooLong
        } else {
            Line::Text(line.into_bytes())
        };
        self.input.try_send(line).is_ok()
    }
}

/// JavaScript has let go of it, or ends: the engine is closed in good order, which is not a logout.
impl Drop for Conversation {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// Each connection has a buffer of 3 MiB (quinn's, for datagrams that the system joins). Once glibc has seen
/// such a buffer freed it takes the next ones from the heap of whichever thread asks, of which it keeps a
/// dozen, and each keeps the 3 MiB. With a fixed threshold they are mapped, and unmapped with the connection.
/// It counts for the whole process: what is smaller is served as before.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn map_large_buffers() {
    const LARGE_BYTES: libc::c_int = 1 << 20;
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: it sets a number, under the allocator's own lock. Refused, memory is held as it would
        // be without it.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
    });
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn map_large_buffers() {}

struct Listener {
    say: Say,
    room: Arc<Semaphore>,
}

/// The thread of a conversation.
fn run(config: &str, lines: mpsc::Receiver<Line>, listener: &Listener) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let opened = runtime
        .map_err(|error| internal(format_args!("cannot start: {error}")))
        .and_then(|runtime| {
            let opened = runtime.block_on(Opening::read(config)?.open())?;
            Ok((runtime, opened))
        });
    let (runtime, (engine, events)) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            listener.tell(rpc::reply(&json!(0), Err(error)), None);
            return;
        }
    };
    let opened = json!({ "database": engine.database().to_string_lossy() });
    let opened = rpc::reply(&json!(0), Ok(opened));
    runtime.block_on(async {
        let (output, queue) = mpsc::channel(LINES_OUT_MAX);
        let session = Session::new(engine.clone(), events, output);
        let converse = async {
            // What kept the engine from closing is the answer to shutdown; without one there is
            // nobody to tell.
            let _ = session.run(lines).await;
        };
        let write = async {
            if listener.room().await {
                listener.tell(opened, None);
                listener.write(queue, &engine).await;
            }
        };
        tokio::join!(converse, write);
    });
}

impl Listener {
    /// Until all is said, or nobody listens; then the queue closes.
    async fn write(&self, mut queue: mpsc::Receiver<Out>, engine: &Engine) {
        while let Some(out) = queue.recv().await {
            let (line, verdict) = match out {
                Out::Line(line) => (line, None),
                Out::Verdict(line, position) => (line, Some((engine.clone(), position))),
                Out::Written(done) => {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                    continue;
                }
            };
            if !self.room().await || !self.tell(line, verdict) {
                return;
            }
        }
    }

    /// Waits for room for one line. False: nobody listens any more.
    async fn room(&self) -> bool {
        match self.room.acquire().await {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Says a line for which there is room. A verdict that it hands over is owed to nobody else once
    /// JavaScript has taken it.
    fn tell(&self, line: String, verdict: Option<(Engine, u64)>) -> bool {
        let room = Arc::clone(&self.room);
        let taken = move |result: Result<()>, _: Env| {
            room.add_permits(1);
            if let (Ok(()), Some((engine, position))) = (result, verdict) {
                engine.verdict_taken(position);
            }
            Ok(())
        };
        let mode = ThreadsafeFunctionCallMode::NonBlocking;
        self.say.call_with_return_value(line, mode, taken) == Status::Ok
    }
}

fn internal(message: std::fmt::Arguments<'_>) -> offhook::Error {
    offhook::Error::new(Code::Internal, "start", message.to_string())
}

fn failed(message: std::fmt::Arguments<'_>) -> Error {
    Error::new(Status::GenericFailure, message.to_string())
}

/// Every code of an error: its name and number, as a JSON object.
#[napi]
pub fn codes() -> String {
    let code = |code: &Code| (code.name().to_owned(), Value::from(code.number()));
    let codes: serde_json::Map<String, Value> = Code::ALL.iter().map(code).collect();
    Value::from(codes).to_string()
}

/// The version of the engine.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
