//! How devices learn that the server was killed.

use offhook::{CommandOptions, ConnectionState, EventKind};

use crate::stage::{Stage, block_on};
use crate::support::SOON;

/// Nobody tells a device that the server is another process now; what it says is answered so that
/// it connects anew, and does not wait until it gives up.
#[test]
fn a_device_that_says_something_to_the_restarted_server_is_told_to_connect_anew() {
    block_on(async {
        let mut stage = Stage::new(&["alice"]).await;
        let engine = stage.actors[0].device.engine.clone();
        let mut events = engine.events();
        stage.world.kill();
        stage.world.start();
        let nowhere = offhook::CallId::trusted("no such call");
        let asked = engine.call_accept(&nowhere, CommandOptions::default());
        let asked = asked.await.unwrap();
        let change = tokio::time::timeout(SOON, async {
            loop {
                let event = events.next().await.expect("open").expect("not behind");
                if let EventKind::ConnectionStateChanged(change) = event.kind {
                    return change;
                }
            }
        });
        let change = change.await.expect("a change of the connection");
        assert_eq!(change.state, ConnectionState::Reconnecting);
        assert!(change.detail.contains("reset by peer"), "{}", change.detail);
        asked.await.expect_err("a verdict, of the restarted server");
        stage.actors[0].has_heard_all().await;
    });
}
