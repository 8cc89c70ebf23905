//! The token: refused, run out, renewed.

use super::*;
use crate::error::Code;
use crate::protocol::{Refused, Renewed, TokenNotice};

fn refused(code: Code) -> ToDevice {
    let error = Error::new(code, "token", "refused");
    ToDevice::Refused(Refused { error })
}

fn renewed(result: Result<(), Error>) -> ToDevice {
    ToDevice::Renewed(Renewed { result })
}

#[test]
fn a_token_that_is_not_taken_is_not_shown_again_until_there_is_a_new_one() {
    for code in [Code::TokenExpired, Code::TokenInvalid] {
        let mut device = Device::with(0, Some("old"));
        device.start();
        device.up();
        device.forget_what_was_said();
        device.hear(refused(code)).unwrap();
        assert_eq!(device.told(), ["connection Disconnected TokenExpired"]);
        device.pass(3_600_000);
        assert_eq!(device.links(), ["close"]);
        device.act(|core, now| core.renew_token(now, "new".into()));
        assert_eq!(
            device.told(),
            ["renewed ok", "connection Connecting ActiveLogin"]
        );
        assert_eq!(device.up().token.as_deref(), Some("new"));
    }
}

#[test]
fn a_token_that_runs_out_while_connected_wants_a_new_one() {
    let mut device = Device::connected();
    device.goodbye(ClosingReason::TokenExpired);
    assert_eq!(device.told(), ["connection Disconnected TokenExpired"]);
    device.act(|core, now| core.renew_token(now, "new".into()));
    assert_eq!(device.links(), ["close", "connect"]);
}

#[test]
fn a_token_that_came_while_the_old_one_was_refused_is_shown_at_once() {
    let mut device = Device::with(0, Some("old"));
    device.start();
    device.up();
    device.act(|core, now| core.renew_token(now, "new".into()));
    device.hear(refused(Code::TokenExpired)).unwrap();
    device.pass(0);
    assert_eq!(device.up().token.as_deref(), Some("new"));
    device.hear(refused(Code::TokenExpired)).unwrap();
    device.forget_what_was_said();
    device.pass(3_600_000);
    assert!(device.links().is_empty(), "and only once");
}

#[test]
fn a_notice_is_told_and_a_renewal_goes_to_the_server() {
    let mut device = Device::connected();
    device
        .hear(ToDevice::TokenNotice(TokenNotice { seconds: 30 }))
        .unwrap();
    assert_eq!(device.told(), ["token 30"]);
    device.act(|core, now| core.renew_token(now, "new".into()));
    assert_eq!(device.sent(), ["renew new"]);
    assert!(device.told().is_empty());
    device.hear(renewed(Ok(()))).unwrap();
    assert_eq!(device.told(), ["renewed ok"]);
    device.lose_link();
    device.pass(1_000);
    assert_eq!(device.up().token.as_deref(), Some("new"));
}

#[test]
fn a_renewal_that_is_refused_leaves_the_token_that_is_known_to_be_good() {
    let mut device = Device::with(0, Some("good"));
    device.connect();
    device.act(|core, now| core.renew_token(now, "bad".into()));
    let error = Error::new(Code::TokenInvalid, "token", "bad");
    device.hear(renewed(Err(error))).unwrap();
    device.lose_link();
    device.pass(1_000);
    assert_eq!(device.up().token.as_deref(), Some("good"));
}

#[test]
fn whoever_waits_for_a_renewal_learns_that_the_connection_was_lost() {
    let mut device = Device::connected();
    device.act(|core, now| core.renew_token(now, "new".into()));
    device.lose_link();
    assert!(
        device
            .told()
            .contains(&"renewed ConnectionLost renew".into())
    );
    device.pass(1_000);
    assert_eq!(device.up().token.as_deref(), Some("new"));
}
