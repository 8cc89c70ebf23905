//! What the server says is open before it has taken note of the hello.
//!
//! A hello that goes with the first packet of a resumed connection is answered after one round trip,
//! by reading alone. What comes is the whole first step of catching up in one frame, so it is written
//! in one transaction and heard then. The welcome is still to come, with everything after it; records
//! go by their revision and verdicts by their number, so what is said again is not heard again.

use super::Core;
use crate::client::clock::{Exchange, Now};
use crate::error::Error;
use crate::protocol::Preview;

impl Core {
    pub(super) fn handle_preview(&mut self, now: Now, preview: Preview) -> Result<(), Error> {
        let Preview {
            server_time,
            epoch,
            limits,
            verdicts,
            calls,
        } = preview;
        self.sample_clock(Exchange {
            sent_mono_ms: self.hello_made_at(),
            server_received_ms: server_time,
            server_sent_ms: server_time,
            received_mono_ms: now.mono_ms,
        });
        self.session.epoch = epoch;
        self.session.limits = Some(limits);
        // Set before, so that receipts go out; an error ends the connection and with it this.
        self.session.previewed = true;
        self.write_synced(now, |work| {
            for verdict in verdicts {
                // Of a copy it is not told yet that it is one.
                if !work.is_of_another(&verdict)? {
                    work.take_verdict(verdict, false)?;
                }
            }
            for call in &calls {
                work.take_record(call, false)?;
            }
            // A ring may have been kept going for the sake of an answer that has its verdict now.
            work.rings_run_out()
        })
    }
}
