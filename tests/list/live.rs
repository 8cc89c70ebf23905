//! Answers that come again when they have become others, on an engine without a network.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use offhook::{CommandOptions, Config, Engine, InviteOptions, Live, Page, Query, UserId};
use tempfile::TempDir;

async fn engine() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new("127.0.0.1:9", "alice", folder.path().join("alice.db"));
    let engine = Engine::open(config).expect("an engine");
    engine.set_network(false).await.expect("taken");
    (folder, engine)
}

async fn invites(engine: &Engine, count: usize) {
    for _ in 0..count {
        let handle = engine.call_invite(&["bob"], InviteOptions::default()).await;
        drop(handle.expect("taken"));
    }
}

async fn next(live: &mut Live<Page>) -> Page {
    live.next().await.expect("an engine").expect("read")
}

/// What it has to say now, without waiting.
fn now<T: Clone + PartialEq>(live: &mut Live<T>) -> Poll<Option<T>> {
    let mut context = Context::from_waker(Waker::noop());
    let said = pin!(live.next()).poll(&mut context);
    said.map(|said| said.map(|answer| answer.expect("read")))
}

#[tokio::test]
async fn the_page_comes_at_once_and_again_when_it_changed_and_several_changes_are_one() {
    let (_folder, engine) = engine().await;
    invites(&engine, 1).await;
    let mut live = engine.watch(Query::default());
    assert_eq!(next(&mut live).await.pending.len(), 1);
    invites(&engine, 3).await;
    // The fourth is told when this one, asked for later, is answered.
    let mut changes = engine.changes();
    invites(&engine, 1).await;
    assert!(changes.changed().await);
    assert_eq!(next(&mut live).await.pending.len(), 5);
    assert_eq!(now(&mut live), Poll::Pending);
}

#[tokio::test]
async fn nothing_comes_when_something_else_changed() {
    let (_folder, engine) = engine().await;
    let mut query = Query::default();
    query.filter.with = Some(UserId::parse("with", "carol").expect("a user"));
    let mut live = engine.watch(query);
    assert_eq!(next(&mut live).await, Page::default());
    let mut missed = engine.watch_missed();
    assert_eq!(now(&mut missed), Poll::Ready(Some(0)));
    let mut changes = engine.changes();
    invites(&engine, 1).await;
    assert!(changes.changed().await);
    assert_eq!(now(&mut live), Poll::Pending);
    assert_eq!(now(&mut missed), Poll::Pending);
}

#[tokio::test]
async fn a_wait_that_was_given_up_loses_no_change() {
    let (_folder, engine) = engine().await;
    let mut live = engine.watch(Query::default());
    assert_eq!(next(&mut live).await, Page::default());
    for count in 1..=3 {
        assert_eq!(now(&mut live), Poll::Pending);
        invites(&engine, 1).await;
        assert_eq!(next(&mut live).await.pending.len(), count);
    }
}

#[tokio::test]
async fn what_is_pending_leaves_the_page_when_it_is_taken_back() {
    let (_folder, engine) = engine().await;
    let handle = engine.call_invite(&["bob"], InviteOptions::default()).await;
    let handle = handle.expect("taken");
    let mut live = engine.watch(Query::default());
    let page = next(&mut live).await;
    assert_eq!(&page.pending[0].call_id, handle.call_id());
    let cancel = engine.call_cancel(&[], handle.call_id(), CommandOptions::default());
    cancel.await.expect("taken").await.expect("withdrawn");
    assert_eq!(next(&mut live).await, Page::default());
}

#[tokio::test]
async fn a_pause_says_nothing_and_what_others_wrote_meanwhile_comes_after_it() {
    let (folder, engine) = engine().await;
    let mut live = engine.watch(Query::default());
    assert_eq!(next(&mut live).await, Page::default());
    engine.pause(None).await.expect("paused");
    assert_eq!(now(&mut live), Poll::Pending);
    let config = Config::new("127.0.0.1:9", "alice", folder.path().join("alice.db"));
    let other = Engine::open(config).expect("another on the file");
    invites(&other, 2).await;
    other.close().await.expect("closed");
    assert_eq!(now(&mut live), Poll::Pending);
    engine.resume().await.expect("resumed");
    assert_eq!(next(&mut live).await.pending.len(), 2);
}

#[tokio::test]
async fn it_ends_with_the_engine_whether_that_is_closed_or_dropped() {
    let (_folder, engine) = self::engine().await;
    let mut live = engine.watch(Query::default());
    assert_eq!(next(&mut live).await, Page::default());
    engine.close().await.expect("closed");
    assert!(live.next().await.is_none());
    assert!(engine.watch_missed().next().await.is_none());
    assert!(!engine.changes().changed().await);

    let (_folder, engine) = self::engine().await;
    let mut live = engine.watch_missed();
    assert_eq!(now(&mut live), Poll::Ready(Some(0)));
    drop(engine);
    assert!(live.next().await.is_none());
}
