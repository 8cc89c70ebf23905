//! Lines from stdin and to stdout, each on a thread of its own, through bounded queues: who writes
//! faster than the engine works waits, and so does the engine for who reads slower.

use std::io::{self, BufRead, Write};
use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc;

use crate::cli::failure::Failure;
use crate::client::engine::Engine;
use crate::client::rpc::{LINE_BYTES_MAX, Line, Out};

/// Lines that are read ahead.
const LINES_AHEAD_MAX: usize = 16;
/// Lines that wait to be written.
const LINES_OUT_MAX: usize = 256;

/// Reads stdin; the queue ends with it.
pub fn read_stdin() -> Result<mpsc::Receiver<Line>, Failure> {
    let (lines, queue) = mpsc::channel(LINES_AHEAD_MAX);
    Builder::new()
        .name("offhook-stdin".into())
        .spawn(move || {
            if let Err(error) = read(io::stdin().lock(), |line| lines.blocking_send(line).is_ok()) {
                tracing::warn!(%error, "cannot read stdin; taken as its end");
            }
        })
        .map_err(no_thread)?;
    Ok(queue)
}

/// Writes to stdout what is given, in order. The queue closes when nobody reads any more.
pub fn write_stdout(engine: Engine) -> Result<(mpsc::Sender<Out>, JoinHandle<()>), Failure> {
    let (output, mut queue) = mpsc::channel(LINES_OUT_MAX);
    let writer = Builder::new()
        .name("offhook-stdout".into())
        .spawn(move || {
            let taken = |position| engine.verdict_taken(position);
            if let Err(error) = write(io::stdout().lock(), &mut queue, taken) {
                tracing::info!(%error, "cannot write to stdout any more");
            }
        })
        .map_err(no_thread)?;
    Ok((output, writer))
}

fn no_thread(error: io::Error) -> Failure {
    Failure::new(format_args!("cannot start a thread: {error}"))
}

/// Until the input ends, or what is read is not wanted any more.
fn read(mut input: impl BufRead, mut give: impl FnMut(Line) -> bool) -> io::Result<()> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            if too_long || !line.is_empty() {
                give(finish(&mut line, &mut too_long));
            }
            return Ok(());
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        if line.len() + part.len() > LINE_BYTES_MAX {
            too_long = true;
            line = Vec::new();
        }
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() && !give(finish(&mut line, &mut too_long)) {
            return Ok(());
        }
    }
}

fn finish(line: &mut Vec<u8>, too_long: &mut bool) -> Line {
    let text = std::mem::take(line);
    if std::mem::take(too_long) {
        Line::TooLong
    } else {
        Line::Text(text)
    }
}

fn write(
    mut output: impl Write,
    queue: &mut mpsc::Receiver<Out>,
    taken: impl Fn(u64),
) -> io::Result<()> {
    while let Some(out) = queue.blocking_recv() {
        match out {
            Out::Line(line) => put(&mut output, line)?,
            Out::Verdict(line, position) => {
                put(&mut output, line)?;
                taken(position);
            }
            Out::Written(done) => {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
    Ok(())
}

/// A whole line at once, so that nobody who reads sees half of one for long.
fn put(output: &mut impl Write, mut line: String) -> io::Result<()> {
    line.push('\n');
    output.write_all(line.as_bytes())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        // A small buffer, so that lines come in several parts.
        let input = io::BufReader::with_capacity(7, input);
        read(input, |line| {
            lines.push(line);
            true
        })
        .unwrap();
        lines
    }

    #[test]
    fn lines_come_one_by_one_the_last_one_also_without_an_end() {
        let text = |text: &str| Line::Text(text.into());
        assert_eq!(
            lines(b"a longer line\n\nb\nlast"),
            [text("a longer line"), text(""), text("b"), text("last")]
        );
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_taken() {
        let mut input = vec![b'x'; LINE_BYTES_MAX];
        input.push(b'\n');
        input.extend(vec![b'y'; LINE_BYTES_MAX + 1]);
        input.extend(b"\nz\n");
        let [longest, Line::TooLong, Line::Text(last)] = &lines(&input)[..] else {
            panic!("three lines");
        };
        assert_eq!(*longest, Line::Text(vec![b'x'; LINE_BYTES_MAX]));
        assert_eq!(last, b"z");
        assert_eq!(lines(&vec![b'y'; LINE_BYTES_MAX + 1]), [Line::TooLong]);
    }
}
