//! What is logged as an ERROR in a run, by whichever part of the product.

use std::cell::RefCell;
use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Does something, with every ERROR of this thread kept for [`take`].
pub fn kept<T>(work: impl FnOnce() -> T) -> T {
    take();
    tracing::subscriber::with_default(Keeper, work)
}

/// The ERRORs since the last look.
pub fn take() -> Vec<String> {
    LOGGED.with_borrow_mut(std::mem::take)
}

struct Keeper;

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a text does not fail.
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::ERROR)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(format!("{}: ", event.metadata().target()));
        event.record(&mut words);
        LOGGED.with_borrow_mut(|logged| logged.push(words.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
