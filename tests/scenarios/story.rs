//! What a device heard, in a line that can be written into a test and compared.

use std::fmt;

use offhook::{CallEvent, UserState};

/// What a device heard. As text, the events by commas:
///
/// | text | event |
/// |---|---|
/// | `created` | callInvitationCreated |
/// | `rung by alice` | callInvitationReceived, with the inviter |
/// | `cancelled` | callInvitationCancelled |
/// | `timeout` | callInvitationTimeout, the server's or the device's own |
/// | `ended by alice` | callInvitationEnded, with who ended it; `ended by server` |
/// | `bob accepted` | callUserStateChanged, one for each user in it |
/// | `elsewhere accepted` | callHandledElsewhere |
/// | `moved` | callPrimaryDeviceChanged |
///
/// Intermediate states may be skipped, and changes of several users may come together, so of the
/// states of a user between two other events only the last must be there, in any order with those
/// of others. When a receipt becomes known is not part of a story: an invitation may be told with
/// the receipts of others in it. A device that is to hear nothing hears no receipt either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story(Vec<Line>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    State(String, UserState),
    Other(String),
}

impl Story {
    /// What these events say.
    pub fn of(events: &[CallEvent]) -> Self {
        Self(events.iter().flat_map(lines).collect())
    }

    fn parse(text: &str) -> Self {
        let lines = text.split(", ").filter(|line| !line.is_empty());
        Self(lines.map(parse_line).collect())
    }

    pub fn assert_is(&self, who: &str, expected: &str) {
        let fits = if expected.is_empty() {
            self.0.is_empty()
        } else {
            self.without_receipts().fits(&Self::parse(expected))
        };
        assert!(fits, "{who} heard\n  {self}\nand was to hear\n  {expected}");
    }

    fn without_receipts(&self) -> Self {
        let kept = self.0.iter().filter(|line| match line {
            Line::State(_, state) => *state == UserState::Inviting || !state.is_pending(),
            Line::Other(_) => true,
        });
        Self(kept.cloned().collect())
    }

    fn fits(&self, expected: &Self) -> bool {
        let said = expected.users().into_iter().all(|user| {
            let mut wanted = expected.states_of(&user).into_iter();
            let heard = self.states_of(&user);
            heard
                .into_iter()
                .all(|state| wanted.any(|one| one == state))
        });
        said && self.essence() == expected.essence()
    }

    fn users(&self) -> Vec<String> {
        let users = self.0.iter().filter_map(|line| match line {
            Line::State(user, _) => Some(user.clone()),
            Line::Other(_) => None,
        });
        users.collect()
    }

    fn states_of(&self, user: &str) -> Vec<UserState> {
        let states = self.0.iter().filter_map(|line| match line {
            Line::State(one, state) if one == user => Some(*state),
            Line::State(..) | Line::Other(_) => None,
        });
        states.collect()
    }

    /// Without the states that may be skipped, and what may come in any order sorted.
    fn essence(&self) -> Vec<Line> {
        let is_last = |index: usize, user: &String| {
            let later = self.0.get(index + 1..).unwrap_or_default();
            !later
                .iter()
                .any(|line| matches!(line, Line::State(one, _) if one == user))
        };
        let mut lines = Vec::new();
        let mut run = Vec::new();
        for (index, line) in self.0.iter().enumerate() {
            match line {
                Line::State(user, _) if is_last(index, user) => run.push(line.clone()),
                Line::State(..) => {}
                Line::Other(_) => {
                    run.sort();
                    lines.append(&mut run);
                    lines.push(line.clone());
                }
            }
        }
        run.sort();
        lines.append(&mut run);
        lines
    }
}

impl fmt::Display for Story {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Line::to_string).collect();
        out.write_str(&lines.join(", "))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(user, state) => write!(out, "{user} {state}"),
            Self::Other(text) => out.write_str(text),
        }
    }
}

fn lines(event: &CallEvent) -> Vec<Line> {
    let text = match event {
        CallEvent::UserStateChanged { call_user_list, .. } => {
            let states = call_user_list.iter();
            return states
                .map(|one| Line::State(one.user_id.to_string(), one.state))
                .collect();
        }
        CallEvent::Created { .. } => "created".to_owned(),
        CallEvent::Received { inviter, .. } => format!("rung by {inviter}"),
        CallEvent::Cancelled { .. } => "cancelled".to_owned(),
        CallEvent::Timeout { .. } => "timeout".to_owned(),
        CallEvent::Ended {
            operated_user_id, ..
        } if operated_user_id.is_empty() => "ended by server".to_owned(),
        CallEvent::Ended {
            operated_user_id, ..
        } => format!("ended by {operated_user_id}"),
        CallEvent::HandledElsewhere { state, .. } => format!("elsewhere {state}"),
        CallEvent::PrimaryDeviceChanged { .. } => "moved".to_owned(),
    };
    vec![Line::Other(text)]
}

fn parse_line(text: &str) -> Line {
    match text.split_once(' ') {
        Some((user, word)) if !["rung", "ended", "elsewhere"].contains(&user) => {
            let state = UserState::from_word(word);
            assert_ne!(state, UserState::Unknown, "{text:?} is no line of a story");
            Line::State(user.to_owned(), state)
        }
        Some(_) | None => Line::Other(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(heard: &str, expected: &str) -> bool {
        std::panic::catch_unwind(|| Story::parse(heard).assert_is("bob", expected)).is_ok()
    }

    #[test]
    fn intermediate_states_may_be_skipped_and_the_last_may_not() {
        assert!(fits("bob quit", "bob accepted, bob quit"));
        assert!(!fits("bob accepted", "bob accepted, bob quit"));
        assert!(!fits("bob quit, bob accepted", "bob accepted, bob quit"));
        assert!(!fits("bob rejected, bob quit", "bob accepted, bob quit"));
    }

    #[test]
    fn changes_of_several_come_in_any_order_but_not_around_other_events() {
        let story = "created, bob accepted, carol rejected, cancelled";
        assert!(fits(
            "created, carol rejected, bob accepted, cancelled",
            story
        ));
        assert!(!fits(
            "created, bob accepted, cancelled, carol rejected",
            story
        ));
        assert!(!fits("bob accepted, carol rejected, cancelled", story));
        assert!(!fits(&format!("{story}, cancelled"), story));
    }

    #[test]
    fn a_receipt_is_no_part_of_a_story_but_not_nothing() {
        assert!(fits("created, bob received", "created"));
        assert!(!fits("bob received", ""));
        assert!(!fits("dave accepted", "bob accepted"));
    }
}
