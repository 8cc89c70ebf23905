//! "What was said ahead of a handshake counts once that is complete": docs/semantics.md 8, Coming
//! back. Anybody may send such a hello again.

use std::collections::BTreeMap;

use offhook::protocol::ToDevice;

use super::index::Index;
use super::violation;
use crate::observe::{OfServer, Violation, What};

/// A connection that came early.
#[derive(Default)]
struct Early {
    confirmed: bool,
    previews: usize,
}

/// A connection that came early is told what is open at most, and that once, until it is confirmed;
/// or that nothing is taken now.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut early: BTreeMap<u64, Early> = BTreeMap::new();
    for (at, entry) in index.record.log.iter().enumerate() {
        let What::Server(what) = &entry.what else {
            continue;
        };
        match what {
            OfServer::Connected {
                conn, early: true, ..
            } => {
                early.insert(*conn, Early::default());
            }
            OfServer::Confirmed { conn } => {
                if let Some(early) = early.get_mut(conn) {
                    early.confirmed = true;
                }
            }
            OfServer::Said { conn, frame, .. } => {
                let one = early.get_mut(conn);
                if let Some(text) = too_much(one, frame) {
                    let text = format!("c{conn}: {text}: {frame:?}");
                    let invariant = "what comes early has no effect";
                    found.push(violation(invariant, Some(at), text));
                }
            }
            _ => {}
        }
    }
}

/// Why a frame must not be said there.
fn too_much(early: Option<&mut Early>, frame: &ToDevice) -> Option<&'static str> {
    let is_preview = matches!(frame, ToDevice::Preview(_));
    let Some(early) = early else {
        return is_preview.then_some("it did not come early");
    };
    early.previews += usize::from(is_preview);
    let refusal = matches!(frame, ToDevice::Goodbye(_) | ToDevice::Refused(_));
    if is_preview && early.previews > 1 {
        Some("a second preview")
    } else if !early.confirmed && !is_preview && !refusal {
        Some("it is not confirmed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use offhook::protocol::{Limits, Preview, ToDevice};

    use super::super::scene::{Scene, breaks, holds};
    use crate::observe::{Entry, Handset, OfServer, Record, What};

    const NO_EFFECT: &str = "what comes early has no effect";
    const CONN: u64 = 9;

    fn server(record: &mut Record, what: OfServer) {
        let what = What::Server(what);
        record.log.push(Entry { at: 0, what });
    }

    fn says(record: &mut Record, frame: ToDevice) {
        let said = OfServer::Said {
            conn: CONN,
            handset: Handset(0),
            frame: Box::new(frame),
        };
        server(record, said);
    }

    fn preview() -> ToDevice {
        ToDevice::Preview(Box::new(Preview {
            server_time: 0,
            epoch: 1,
            limits: Limits {
                heartbeat_s: 10,
                offline_after_s: 35,
                extended_data_bytes_max: 2048,
            },
            verdicts: Vec::new(),
            calls: Vec::new(),
        }))
    }

    fn connected_early() -> Record {
        let mut record = Scene::new(&["anna"]).record();
        let early = OfServer::Connected {
            conn: CONN,
            handset: Handset(0),
            run: 1,
            attempt: 2,
            early: true,
        };
        server(&mut record, early);
        record
    }

    #[test]
    fn more_than_a_preview_for_one_that_is_not_confirmed_is_found() {
        let mut record = connected_early();
        says(&mut record, preview());
        holds(&record);
        says(&mut record, ToDevice::LoggedOut);
        breaks(&record, NO_EFFECT);
    }

    #[test]
    fn a_second_preview_is_found() {
        let mut record = connected_early();
        says(&mut record, preview());
        server(&mut record, OfServer::Confirmed { conn: CONN });
        says(&mut record, ToDevice::LoggedOut);
        holds(&record);
        says(&mut record, preview());
        breaks(&record, NO_EFFECT);
    }

    #[test]
    fn a_preview_for_one_that_did_not_come_early_is_found() {
        let mut record = Scene::new(&["anna"]).record();
        says(&mut record, preview());
        breaks(&record, NO_EFFECT);
    }
}
