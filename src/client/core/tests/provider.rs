//! When the app is asked for a token, and what becomes of what it gives.

use super::*;
use crate::error::Code;
use crate::protocol::{Refused, Renewed, TokenNotice};

const REFUSED: &str = "connection Disconnected TokenExpired";
const LOGS_IN: &str = "connection Connecting ActiveLogin";

fn refuse(device: &mut Device, code: Code) {
    let error = Error::new(code, "token", "refused");
    device.hear(ToDevice::Refused(Refused { error })).unwrap();
}

fn notice(device: &mut Device, seconds: u32) {
    device
        .hear(ToDevice::TokenNotice(TokenNotice { seconds }))
        .unwrap();
}

fn renewed(device: &mut Device, result: Result<(), Error>) {
    device.hear(ToDevice::Renewed(Renewed { result })).unwrap();
}

/// The provider answers a request.
fn give(device: &mut Device, request: u64, token: &str) {
    device.act(|core, now| core.handle_token(now, request, Ok(token.into())));
}

fn fail(device: &mut Device, request: u64) {
    device.act(|core, now| core.handle_token(now, request, Err("no way".into())));
}

/// Connected with a token, and nothing left to read.
fn connected() -> Device {
    let mut device = Device::with_provider(Some("old"));
    device.connect();
    device.caught_up();
    device.forget_what_was_said();
    device
}

/// The number of a request that was told.
fn number_of(words: &str) -> Option<u64> {
    let (number, why) = words.strip_prefix("request ")?.split_once(' ')?;
    number.parse().ok().filter(|_| why != "given up")
}

/// Waits until the provider is asked.
fn next_request(device: &mut Device) -> u64 {
    for _ in 0..10_000 {
        device.pass(100);
        if let Some(request) = device.told().iter().find_map(|words| number_of(words)) {
            return request;
        }
    }
    panic!("nobody is asked");
}

/// When within a time the provider was asked, in milliseconds.
fn requests_within(
    device: &mut Device,
    ms: i64,
    mut answer: impl FnMut(&mut Device, u64),
) -> Vec<i64> {
    let begin = device.now.mono_ms;
    let mut asked = Vec::new();
    while device.now.mono_ms < begin + ms {
        device.pass(100);
        let told = device.told();
        for request in told.iter().filter_map(|words| number_of(words)) {
            asked.push(device.now.mono_ms - begin);
            answer(device, request);
        }
    }
    asked
}

#[test]
fn without_a_token_the_provider_is_asked_before_the_first_attempt() {
    let mut device = Device::with_provider(None);
    device.start();
    assert_eq!(device.told(), [LOGS_IN, "request 1 missing"]);
    assert!(device.links().is_empty());
    give(&mut device, 1, "new");
    assert_eq!(device.links(), ["connect"]);
    assert_eq!(device.up().token.as_deref(), Some("new"));
    device.welcome();
    assert_eq!(device.told(), ["connection Connected Success"]);
}

#[test]
fn with_a_token_or_without_a_provider_nobody_is_asked() {
    let mut devices = [Device::with_provider(Some("good")), Device::new()];
    for device in &mut devices {
        device.connect();
        device.caught_up();
        device.pass(600_000);
        let told = device.told();
        assert!(!told.iter().any(|words| words.starts_with("request")));
    }
}

#[test]
fn a_refused_or_expired_token_is_told_and_replaced_and_the_device_connects_by_itself() {
    for (code, words) in [
        (Code::TokenExpired, "request 1 expired"),
        (Code::TokenInvalid, "request 1 refused"),
    ] {
        let mut device = Device::with_provider(Some("old"));
        device.start();
        device.up();
        device.forget_what_was_said();
        refuse(&mut device, code);
        assert_eq!(device.told(), [REFUSED, words]);
        device.links();
        give(&mut device, 1, "new");
        assert_eq!(device.told(), [LOGS_IN]);
        assert_eq!(device.links(), ["connect"]);
        assert_eq!(device.up().token.as_deref(), Some("new"));
        device.welcome();
        assert_eq!(device.told(), ["connection Connected Success"]);
    }
}

#[test]
fn a_token_that_will_expire_is_replaced_in_place() {
    let mut device = connected();
    notice(&mut device, 30);
    assert_eq!(device.told(), ["token 30", "request 1 expires in 30"]);
    give(&mut device, 1, "new");
    assert_eq!(device.sent(), ["renew new"]);
    renewed(&mut device, Ok(()));
    assert!(device.told().is_empty(), "the connection goes on");
    assert!(device.links().is_empty());
    device.lose_link();
    device.pass(1_000);
    assert_eq!(device.up().token.as_deref(), Some("new"));
}

#[test]
fn one_request_is_under_way_at_a_time() {
    let mut device = connected();
    notice(&mut device, 20);
    notice(&mut device, 10);
    device.goodbye(ClosingReason::TokenExpired);
    assert_eq!(
        device.told(),
        ["token 20", "request 1 expires in 20", "token 10", REFUSED]
    );
    give(&mut device, 1, "new");
    assert_eq!(device.links(), ["close", "connect"]);
    assert_eq!(device.up().token.as_deref(), Some("new"));
}

#[test]
fn a_provider_that_fails_is_asked_again_after_pauses_that_grow_and_nobody_is_logged_out() {
    let mut device = Device::with_provider(None);
    device.start();
    device.told();
    fail(&mut device, 1);
    let at = requests_within(&mut device, 3_600_000, fail);
    let pauses: Vec<i64> = at.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(pauses[0] >= 1_000);
    assert!(at.len() < 40, "{}", at.len());
    assert!(*pauses.last().unwrap() <= 300_000, "and they do not end");
    assert!(!device.core().is_logged_out());
    let error = device.core().link_status().error.unwrap();
    assert_eq!(error, "no token: no way");
    let request = next_request(&mut device);
    give(&mut device, request, "new");
    assert_eq!(device.links(), ["connect"]);
}

#[test]
fn a_provider_that_hangs_is_given_up_and_asked_again() {
    let mut device = Device::with_provider(None);
    device.start();
    device.told();
    device.pass(29_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(device.told(), ["request 1 given up"]);
    device.pass(2_000);
    assert_eq!(device.told(), ["request 2 missing"]);
    give(&mut device, 1, "late");
    assert!(device.links().is_empty(), "it is not listened to any more");
    give(&mut device, 2, "new");
    assert_eq!(device.links(), ["connect"]);
}

#[test]
fn the_token_that_was_refused_is_not_shown_again_however_often_the_provider_gives_it() {
    let mut device = Device::with_provider(Some("old"));
    device.start();
    device.up();
    refuse(&mut device, Code::TokenExpired);
    give(&mut device, 1, "old");
    device.forget_what_was_said();
    let at = requests_within(&mut device, 3_600_000, |device, request| {
        give(device, request, "old");
    });
    assert!((5..40).contains(&at.len()), "{at:?}");
    assert!(device.links().is_empty(), "no attempt is made with it");
}

#[test]
fn tokens_that_are_refused_one_after_the_other_are_asked_for_less_and_less_often() {
    let mut device = Device::with_provider(Some("old"));
    device.start();
    device.up();
    refuse(&mut device, Code::TokenInvalid);
    let mut shown = 0;
    let at = requests_within(&mut device, 3_600_000, |device, request| {
        give(device, request, &format!("bad {request}"));
        device.up();
        shown += 1;
        refuse(device, Code::TokenInvalid);
    });
    assert_eq!(shown, at.len());
    assert!((5..40).contains(&shown), "{at:?}");
}

#[test]
fn an_empty_token_and_one_that_is_too_long_count_as_none() {
    for token in [String::new(), "x".repeat(5_000)] {
        let mut device = Device::with_provider(None);
        device.start();
        give(&mut device, 1, &token);
        assert!(device.links().is_empty());
        device.told();
        device.pass(2_000);
        assert_eq!(device.told(), ["request 2 missing"]);
    }
}

#[test]
fn tokens_that_live_briefly_are_replaced_half_way_and_not_all_the_time() {
    let mut device = connected();
    notice(&mut device, 20);
    give(&mut device, 1, "first");
    renewed(&mut device, Ok(()));
    notice(&mut device, 20);
    device.forget_what_was_said();
    device.pass(9_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(device.told(), ["request 2 expires in 20"]);
}

#[test]
fn the_same_token_once_more_does_not_replace_one_that_will_expire() {
    let mut device = connected();
    notice(&mut device, 30);
    give(&mut device, 1, "old");
    assert!(device.sent_of("renew").is_empty());
    device.told();
    device.pass(2_000);
    assert_eq!(device.told(), ["request 2 expires in 30"]);
}

#[test]
fn a_renewal_that_the_server_refuses_is_asked_for_again_while_the_connection_goes_on() {
    let mut device = connected();
    notice(&mut device, 30);
    give(&mut device, 1, "bad");
    device.told();
    renewed(
        &mut device,
        Err(Error::new(Code::TokenInvalid, "token", "bad")),
    );
    assert!(device.told().is_empty());
    device.pass(2_000);
    assert_eq!(device.told(), ["request 2 refused"]);
    give(&mut device, 2, "new");
    renewed(&mut device, Ok(()));
    assert!(device.links().is_empty());
}

#[test]
fn being_offline_asks_for_nothing_and_is_no_error_of_authentication() {
    let mut device = connected();
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    device.pass(86_400_000);
    device.act(|core, now| core.set_network(now, true));
    for _ in 0..50 {
        device.down(DownKind::HandshakeTimeout);
        device.pass(30_000);
    }
    let told = device.told();
    assert!(
        !told.iter().any(|words| words.starts_with("request")),
        "{told:?}"
    );
    assert!(!told.contains(&REFUSED.to_owned()), "{told:?}");
    // Only the server can say that the token has run out meanwhile.
    device.up();
    refuse(&mut device, Code::TokenExpired);
    assert_eq!(device.told(), [REFUSED, "request 1 expired"]);
}

#[test]
fn without_a_network_a_wanted_token_waits_for_one() {
    let mut device = Device::with_provider(None);
    device.act(|core, now| core.set_network(now, false));
    device.start();
    device.told();
    device.pass(3_600_000);
    assert!(device.told().is_empty());
    device.act(|core, now| core.set_network(now, true));
    assert_eq!(device.told(), ["request 1 missing"]);
}

#[test]
fn a_network_that_comes_back_hastens_the_next_request() {
    let mut device = Device::with_provider(None);
    device.start();
    device.told();
    fail(&mut device, 1);
    for _ in 2..10 {
        let request = next_request(&mut device);
        fail(&mut device, request);
    }
    device.pass(5_000);
    assert!(device.told().is_empty(), "the pauses are long by now");
    device.act(Core::network_changed);
    assert_eq!(device.told(), ["request 10 missing"]);
}

#[test]
fn a_link_that_breaks_while_a_token_is_fetched_shows_it_at_the_next_hello() {
    let mut device = connected();
    notice(&mut device, 30);
    device.lose_link();
    give(&mut device, 1, "new");
    device.pass(1_000);
    assert_eq!(device.up().token.as_deref(), Some("new"));
}

#[test]
fn a_notice_that_was_not_answered_is_forgotten_with_its_connection() {
    let mut device = connected();
    notice(&mut device, 30);
    fail(&mut device, 1);
    device.lose_link();
    device.told();
    device.pass(1_000);
    device.up();
    device.welcome();
    device.pass(60_000);
    let told = device.told();
    assert!(!told.iter().any(|words| words.starts_with("request")));
}

#[test]
fn a_token_of_the_app_itself_takes_the_place_of_a_request() {
    let mut device = Device::with_provider(None);
    device.start();
    device.told();
    device.act(|core, now| core.renew_token(now, "mine".into()));
    assert_eq!(device.told(), ["request 1 given up", "renewed ok"]);
    assert_eq!(device.up().token.as_deref(), Some("mine"));
    give(&mut device, 1, "late");
    assert!(device.sent_of("renew").is_empty());
}

#[test]
fn a_logout_a_kick_and_a_close_end_the_asking() {
    let ends: [fn(&mut Device); 3] = [
        |device| device.act(Core::logout),
        |device| device.goodbye(ClosingReason::KickedOut),
        |device| device.act(Core::close),
    ];
    for end in ends {
        let mut device = connected();
        notice(&mut device, 30);
        end(&mut device);
        device.hear(ToDevice::LoggedOut).unwrap();
        assert!(device.told().contains(&"request 1 given up".into()));
        give(&mut device, 1, "late");
        device.pass(3_600_000);
        let told = device.told();
        assert!(!told.iter().any(|words| words.starts_with("request")));
    }
}

#[test]
fn two_renewals_of_the_app_that_are_lost_with_the_connection_both_learn_of_it() {
    let mut device = connected();
    device.act(|core, now| core.renew_token(now, "one".into()));
    device.act(|core, now| core.renew_token(now, "two".into()));
    device.lose_link();
    let told = device.told();
    let lost = told
        .iter()
        .filter(|words| words.starts_with("renewed Conn"));
    assert_eq!(lost.count(), 2);
    device.pass(1_000);
    assert_eq!(device.up().token.as_deref(), Some("two"));
}
