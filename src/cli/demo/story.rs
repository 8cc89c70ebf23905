//! The story, act by act.

use super::cast::Device;
use super::expect::Expected;
use super::history;
use super::stage::Stage;
use super::tell::{Line, Teller};
use crate::call::{CallEvent, CallId, CallUser, Mode, UserId, UserState};
use crate::cli::failure::Failure;
use crate::client::options::{CallingInviteOptions, CommandOptions, InviteOptions};
use crate::client::store::CallEntry;

/// For calls that somebody answers: not to run out on a slow machine.
const LONG_RING_S: u32 = 60;
/// For the call that nobody answers, which the demo waits out.
const SHORT_RING_S: u32 = 1;

/// The calls of the story.
pub struct Calls {
    /// Bob accepts it.
    pub accepted: CallId,
    /// It finds Bob late, and he declines.
    pub declined: CallId,
    /// Bob never hears of it.
    pub missed: CallId,
    /// Three people, two of Alice's devices.
    pub conference: CallId,
}

/// Plays all acts.
pub async fn tell(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let accepted = bob_accepts(stage).await?;
    let declined = bob_comes_back(stage).await?;
    let missed = bob_misses_it(stage).await?;
    let conference = three_people(stage, [&declined, &missed]).await?;
    let calls = Calls {
        accepted,
        declined,
        missed,
        conference,
    };
    history::tell(stage, &calls).await
}

async fn bob_accepts(stage: &mut Stage<'_>) -> Result<CallId, Failure> {
    stage
        .tell
        .begin_act("Alice calls Bob, and he accepts (general mode)")?;
    let call = invite(stage, Mode::General, LONG_RING_S).await?;
    laptop_shows(stage, &call).await?;
    rings(stage.tell, &mut stage.bob, &call, "alice", "Alice").await?;
    bob_has_it(stage, &call).await?;
    accept(stage.tell, &mut stage.bob, &call, "Hello Alice").await?;
    let heard = stage
        .phone
        .hears(&call, state("bob", UserState::Accepted))
        .await?;
    let said = said_by(&stage.phone, &heard, "bob", "Hello Alice")?;
    stage.tell.line(
        Line::new(
            stage.phone.role,
            format!("hears that Bob accepted: \"{said}\""),
        )
        .api("callUserStateChanged")
        .call(&call),
    )?;
    stage.laptop.hears(&call, Expected::Elsewhere).await?;
    stage.tell.line(
        Line::new(
            stage.laptop.role,
            "stops showing it: the phone has the call",
        )
        .api("callHandledElsewhere")
        .call(&call),
    )?;
    curtain(stage).await?;
    stage.laptop.switch_off().await?;
    stage
        .tell
        .line(Line::new(stage.laptop.role, "is shut for the night"))?;
    Ok(call)
}

async fn bob_comes_back(stage: &mut Stage<'_>) -> Result<CallId, Failure> {
    stage
        .tell
        .begin_act("Alice calls while Bob has no network, and he comes back in time")?;
    stage.bob.lose_network().await?;
    stage.tell.line(Line::new(
        stage.bob.role,
        "loses its network; nobody is told",
    ))?;
    let call = invite(stage, Mode::General, LONG_RING_S).await?;
    stage
        .phone
        .finds(&call, "with Bob inviting", |entry| {
            member_is(entry, "bob", UserState::Inviting)
        })
        .await?;
    stage.tell.line(
        Line::new(
            stage.phone.role,
            "sees Bob as inviting: no device of his has it",
        )
        .api("queryCallInvitationList")
        .call(&call),
    )?;
    stage.bob.has_heard_all().await?;
    stage.bob.regain_network().await?;
    stage.tell.line(Line::new(
        stage.bob.role,
        "has a network again, and reconnects",
    ))?;
    rings(stage.tell, &mut stage.bob, &call, "alice", "Alice").await?;
    bob_has_it(stage, &call).await?;

    let options = saying("On a train, later");
    let handle = stage.bob.engine.call_reject(&call, options).await;
    let handle = stage.bob.given("a place in its outbox", handle)?;
    stage.bob.verdict("callReject", handle).await?;
    stage.tell.line(
        Line::new(stage.bob.role, "declines")
            .api("callReject")
            .call(&call),
    )?;
    let declined = state("bob", UserState::Rejected);
    stage.bob.hears(&call, declined).await?;
    let heard = stage.phone.hears(&call, declined).await?;
    let said = said_by(&stage.phone, &heard, "bob", "On a train, later")?;
    stage.tell.line(
        Line::new(
            stage.phone.role,
            format!("hears that Bob declined: \"{said}\""),
        )
        .api("callUserStateChanged")
        .call(&call),
    )?;
    curtain(stage).await?;
    Ok(call)
}

async fn bob_misses_it(stage: &mut Stage<'_>) -> Result<CallId, Failure> {
    stage
        .tell
        .begin_act("Alice calls while Bob is away, and he comes back too late")?;
    let before = stage.bob.position();
    stage.bob.switch_off().await?;
    stage
        .tell
        .line(Line::new(stage.bob.role, "is switched off"))?;
    let call = invite(stage, Mode::General, SHORT_RING_S).await?;
    stage
        .phone
        .hears(&call, state("bob", UserState::Timeout))
        .await?;
    stage.tell.line(
        Line::new(stage.phone.role, "hears that Bob's time ran out")
            .api("callUserStateChanged")
            .call(&call),
    )?;
    stage.bob.switch_on().await?;
    stage
        .tell
        .line(Line::new(stage.bob.role, "is switched on, and connects"))?;
    let found = stage
        .bob
        .finds(&call, "over and missed", |entry| {
            entry.missed && !entry.call.is_started()
        })
        .await?;
    expect_state(&stage.bob, &found, "bob", UserState::Timeout)?;
    stage.tell.line(
        Line::new(stage.bob.role, "finds the call in its list, marked missed")
            .api("queryCallInvitationList")
            .call(&call),
    )?;
    let heard = stage.bob.journal_since(before).await?;
    let ringing = stage
        .bob
        .given("what rings", stage.bob.engine.ringing().await)?;
    if let Some(event) = heard.first() {
        return Err(stage
            .bob
            .came("not to ring", &format!("heard {}", event.name())));
    }
    if !ringing.is_empty() {
        return Err(stage.bob.came("not to ring", "rings"));
    }
    let status = stage
        .bob
        .given("its status", stage.bob.engine.status().await)?;
    if status.missed != 1 {
        return Err(stage.bob.came(
            "to count 1 missed call",
            &format!("counts {}", status.missed),
        ));
    }
    stage.tell.line(
        Line::new(stage.bob.role, "did not ring, and counts 1 missed call")
            .call(&call)
            .with("missed", status.missed),
    )?;
    curtain(stage).await?;
    Ok(call)
}

async fn three_people(
    stage: &mut Stage<'_>,
    slept_through: [&CallId; 2],
) -> Result<CallId, Failure> {
    stage
        .tell
        .begin_act("Alice calls Bob, asks Carol in, and changes devices (advanced mode)")?;
    stage.laptop.switch_on().await?;
    for call in slept_through {
        stage
            .laptop
            .finds(call, "over", |entry| !entry.call.is_started())
            .await?;
    }
    stage.laptop.has_heard_all().await?;
    stage.tell.line(
        Line::new(
            stage.laptop.role,
            "is opened; has the 2 calls that it slept through",
        )
        .api("queryCallInvitationList"),
    )?;
    let call = invite(stage, Mode::Advanced, LONG_RING_S).await?;
    laptop_shows(stage, &call).await?;
    rings(stage.tell, &mut stage.bob, &call, "alice", "Alice").await?;
    bob_has_it(stage, &call).await?;
    accept(stage.tell, &mut stage.bob, &call, "").await?;
    stage
        .phone
        .hears(&call, state("bob", UserState::Accepted))
        .await?;
    stage.laptop.hears(&call, Expected::Elsewhere).await?;
    ask_carol(stage, &call).await?;
    move_to_laptop(stage, &call).await?;
    end(stage, &call).await?;
    curtain(stage).await?;
    Ok(call)
}

async fn ask_carol(stage: &mut Stage<'_>, call: &CallId) -> Result<(), Failure> {
    let options = CallingInviteOptions::default();
    let handle = (stage.phone.engine)
        .calling_invite(&["carol"], call, options)
        .await;
    let handle = stage.phone.given("a place in its outbox", handle)?;
    stage.tell.line(
        Line::new(stage.phone.role, "asks Carol into the call")
            .api("callingInvite")
            .call(call),
    )?;
    let asked = stage.phone.verdict("callingInvite", handle).await?;
    if let Some(refused) = asked.errors.first() {
        return Err(stage
            .phone
            .came("to ring Carol", &format!("was told {refused:?}")));
    }
    rings(stage.tell, &mut stage.carol, call, "alice", "Alice").await?;
    let received = state("carol", UserState::Received);
    for device in [&mut stage.carol, &mut stage.phone, &mut stage.bob] {
        device.hears(call, received).await?;
    }
    stage.tell.line(
        Line::new(stage.bob.role, "hears that Carol is being rung")
            .api("callUserStateChanged")
            .call(call),
    )?;
    accept(stage.tell, &mut stage.carol, call, "").await?;
    let accepted = state("carol", UserState::Accepted);
    for device in [&mut stage.phone, &mut stage.bob] {
        device.hears(call, accepted).await?;
        stage.tell.line(
            Line::new(device.role, "hears that Carol accepted")
                .api("callUserStateChanged")
                .call(call),
        )?;
    }
    Ok(())
}

/// Alice changes devices, then Carol leaves: what Bob hears after her coming in is her leaving.
async fn move_to_laptop(stage: &mut Stage<'_>, call: &CallId) -> Result<(), Failure> {
    let bob_before = stage.bob.position();
    let handle = (stage.laptop.engine)
        .call_join(call, CommandOptions::default())
        .await;
    let handle = stage.laptop.given("a place in its outbox", handle)?;
    let joined = stage.laptop.verdict("callJoin", handle).await?;
    if joined.users.len() != 3 {
        let users = format!("was told of {}", joined.users.len());
        return Err(stage.laptop.came("to find 3 users in the call", &users));
    }
    stage.tell.line(
        Line::new(stage.laptop.role, "takes the call over; 3 people are in it")
            .api("callJoin")
            .call(call),
    )?;
    stage.phone.hears(call, Expected::Moved).await?;
    stage.tell.line(
        Line::new(stage.phone.role, "hears that the call is on the laptop now")
            .api("callPrimaryDeviceChanged")
            .call(call),
    )?;

    let handle = stage.carol.engine.call_quit(call, saying("Bye")).await;
    let handle = stage.carol.given("a place in its outbox", handle)?;
    stage.carol.verdict("callQuit", handle).await?;
    stage.tell.line(
        Line::new(stage.carol.role, "leaves the call")
            .api("callQuit")
            .call(call),
    )?;
    let quit = state("carol", UserState::Quit);
    stage.carol.hears(call, quit).await?;
    for device in [&mut stage.laptop, &mut stage.bob] {
        device.hears(call, quit).await?;
        stage.tell.line(
            Line::new(device.role, "hears that Carol left")
                .api("callUserStateChanged")
                .call(call),
        )?;
    }
    let bob_heard = stage.bob.journal_since(bob_before).await?;
    if bob_heard.len() != 1 {
        let names: Vec<_> = bob_heard.iter().map(CallEvent::name).collect();
        return Err(stage.bob.came(
            "to hear of nothing but Carol's leaving since she came",
            &format!("heard {}", names.join(", ")),
        ));
    }
    stage
        .tell
        .line(Line::new(stage.bob.role, "heard nothing of Alice's change of devices").call(call))
}

async fn end(stage: &mut Stage<'_>, call: &CallId) -> Result<(), Failure> {
    let handle = stage.laptop.engine.call_end(call, saying("Thanks")).await;
    let handle = stage.laptop.given("a place in its outbox", handle)?;
    let ended = stage.laptop.verdict("callEnd", handle).await?;
    let lasted_ms = ended.end_time - ended.create_time;
    stage.tell.line(
        Line::new(
            stage.laptop.role,
            format!("ends the call for all, {lasted_ms} ms after it began"),
        )
        .api("callEnd")
        .call(call),
    )?;
    let by_alice = Expected::Ended { by: "alice" };
    stage.laptop.hears(call, by_alice).await?;
    stage.bob.hears(call, by_alice).await?;
    stage.tell.line(
        Line::new(stage.bob.role, "hears that Alice ended it")
            .api("callInvitationEnded")
            .call(call),
    )
}

/// Alice's phone calls Bob.
async fn invite(stage: &mut Stage<'_>, mode: Mode, timeout_s: u32) -> Result<CallId, Failure> {
    let options = InviteOptions {
        timeout_s,
        mode,
        ..InviteOptions::default()
    };
    let handle = stage.phone.engine.call_invite(&["bob"], options).await;
    let handle = stage.phone.given("a place in its outbox", handle)?;
    let call = handle.call_id().clone();
    stage.tell.line(
        Line::new(
            stage.phone.role,
            format!("calls Bob, for {timeout_s} s; safe on its own disk"),
        )
        .api("callInvite")
        .call(&call)
        .with("timeout_s", timeout_s),
    )?;
    let invited = stage.phone.verdict("callInvite", handle).await?;
    if let Some(refused) = invited.errors.first() {
        return Err(stage
            .phone
            .came("to call Bob", &format!("was told {refused:?}")));
    }
    stage.tell.line(
        Line::new(stage.phone.role, "has the server's word: the call stands")
            .api("verdict of callInvite")
            .call(&call)
            .with("verdict", "granted"),
    )?;
    stage.phone.hears(&call, Expected::Created).await?;
    Ok(call)
}

async fn laptop_shows(stage: &mut Stage<'_>, call: &CallId) -> Result<(), Failure> {
    stage.laptop.hears(call, Expected::Created).await?;
    stage.tell.line(
        Line::new(stage.laptop.role, "shows that Alice is calling Bob")
            .api("callInvitationCreated")
            .call(call),
    )
}

async fn rings(
    tell: &mut Teller,
    device: &mut Device,
    call: &CallId,
    inviter: &'static str,
    inviter_label: &str,
) -> Result<(), Failure> {
    let heard = device.hears(call, Expected::Ring { inviter }).await?;
    let CallEvent::Received { remaining, .. } = heard else {
        return Err(device.came("to ring", &format!("heard {}", heard.name())));
    };
    let left_s = remaining / 1_000;
    let left_tenths = remaining % 1_000 / 100;
    tell.line(
        Line::new(
            device.role,
            format!("rings: {inviter_label} calls, {left_s}.{left_tenths} s left"),
        )
        .api("callInvitationReceived")
        .call(call)
        .with("remaining_ms", remaining),
    )
}

/// Once Bob's phone has the invitation on its disk, Alice and he himself are told.
async fn bob_has_it(stage: &mut Stage<'_>, call: &CallId) -> Result<(), Failure> {
    let received = state("bob", UserState::Received);
    stage.bob.hears(call, received).await?;
    stage.phone.hears(call, received).await?;
    stage.tell.line(
        Line::new(
            stage.phone.role,
            "hears that Bob's phone has the invitation",
        )
        .api("callUserStateChanged")
        .call(call),
    )
}

async fn accept(
    tell: &mut Teller,
    device: &mut Device,
    call: &CallId,
    words: &str,
) -> Result<(), Failure> {
    let handle = device.engine.call_accept(call, saying(words)).await;
    let handle = device.given("a place in its outbox", handle)?;
    device.verdict("callAccept", handle).await?;
    tell.line(
        Line::new(device.role, "accepts")
            .api("callAccept")
            .call(call),
    )?;
    let accepted = state(device.role.user, UserState::Accepted);
    device.hears(call, accepted).await.map(drop)
}

/// Nobody who is on has heard anything that was not told or expected.
async fn curtain(stage: &Stage<'_>) -> Result<(), Failure> {
    for device in [&stage.phone, &stage.laptop, &stage.bob, &stage.carol] {
        if device.is_on() {
            device.has_heard_all().await?;
        }
    }
    Ok(())
}

fn state(user: &'static str, state: UserState) -> Expected {
    Expected::State { user, state }
}

fn saying(words: &str) -> CommandOptions {
    CommandOptions {
        extended_data: words.to_owned(),
        ..CommandOptions::default()
    }
}

/// The words that came with a change of a member, which are to be those that were given along.
fn said_by(device: &Device, event: &CallEvent, user: &str, words: &str) -> Result<String, Failure> {
    let users: &[CallUser] = match event {
        CallEvent::UserStateChanged { call_user_list, .. } => call_user_list,
        CallEvent::Created { .. }
        | CallEvent::Received { .. }
        | CallEvent::Cancelled { .. }
        | CallEvent::Timeout { .. }
        | CallEvent::Ended { .. }
        | CallEvent::HandledElsewhere { .. }
        | CallEvent::PrimaryDeviceChanged { .. } => &[],
    };
    let said = users
        .iter()
        .find(|one| one.user_id.as_str() == user)
        .map(|one| one.extended_data.as_str());
    match said {
        Some(said) if said == words => Ok(said.to_owned()),
        other => Err(device.came(
            &format!("to be told {words:?} by {user}"),
            &format!("was told {other:?}"),
        )),
    }
}

fn member_is(entry: &CallEntry, user: &str, state: UserState) -> bool {
    entry
        .call
        .member(&UserId::trusted(user))
        .is_some_and(|member| member.state == state)
}

fn expect_state(
    device: &Device,
    entry: &CallEntry,
    user: &str,
    state: UserState,
) -> Result<(), Failure> {
    if member_is(entry, user, state) {
        return Ok(());
    }
    let is = entry.call.member(&UserId::trusted(user));
    Err(device.came(
        &format!("to have {user} as {state} in call {}", entry.call.id),
        &format!("has {:?}", is.map(|member| member.state)),
    ))
}
