//! How everything stands when a run is over.

use offhook::Error;
use offhook::client::event::ConnectionState;
use offhook::client::store::Query;

use super::disk::Disk;
use super::handset::{APP, Hand};
use super::observe::{End, LastOfHandset, LastOfServer, Record, What};
use super::recording::Recording;
use super::world::World;

/// Calls of a page.
const PAGE: usize = 100;

impl World {
    /// Takes down how everything stands.
    pub fn end(mut self) -> Record {
        for number in 0..self.hands.len() {
            let hand = &self.hands[number];
            if self.scenario.left_out.contains(&number) || hand.beside.is_some() {
                continue;
            }
            let server_ms = self.server.server_ms();
            match last_of(hand, server_ms) {
                Ok(last) => self.record.last.handsets.push(last),
                Err(error) => {
                    let message = format!("handset {number} cannot be read at the end: {error}");
                    self.log(What::LoggedError(message));
                }
            }
        }
        let server_ms = self.server.server_ms();
        self.server_ends(End::Closed, false);
        match self.read_server() {
            Ok(last) => self.record.last.server = LastOfServer { server_ms, ..last },
            Err(error) => self.log(What::LoggedError(format!(
                "the server's data cannot be read at the end: {error}"
            ))),
        }
        self.record
    }

    fn read_server(&mut self) -> Result<LastOfServer, String> {
        let notes = self.server.notes.clone();
        let store = self.server.disk.open_server();
        let store = store.map_err(|error| error.to_string())?;
        let mut store = Recording::new(store, notes.clone());
        notes
            .read_all(&mut store)
            .map_err(|error| error.to_string())
    }
}

fn last_of(hand: &Hand, server_ms: i64) -> Result<LastOfHandset, Error> {
    let readers = Disk::readers(&hand.disk, &hand.user_id);
    let mut calls = Vec::new();
    let mut next = 0;
    loop {
        let page = readers.page(&Query {
            count: PAGE,
            next_flag: next,
            ..Query::default()
        })?;
        calls.extend(page.calls);
        next = page.next_flag;
        if next == 0 {
            break;
        }
    }
    let mut journal = Vec::new();
    let mut position = 0;
    loop {
        let (events, more) = readers.events_since(position, 1_000, server_ms)?;
        journal.extend(events);
        position = journal.last().and_then(|last| last.position).unwrap_or(0);
        if !more {
            break;
        }
    }
    let connected = hand
        .process
        .as_ref()
        .is_some_and(|process| process.core.link_status().state == ConnectionState::Connected);
    Ok(LastOfHandset {
        handset: hand.handset,
        user: hand.user_id.clone(),
        device: hand
            .device
            .clone()
            .unwrap_or_else(|| offhook::call::DeviceId::trusted("")),
        run: hand.runs,
        app: hand.apps,
        connected,
        calls,
        pending: readers.pending()?,
        ringing: readers.ringing(server_ms)?,
        missed: readers.counts()?.missed,
        journal,
        acknowledged: readers.acknowledged(APP)?,
    })
}
