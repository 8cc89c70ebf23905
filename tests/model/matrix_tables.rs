//! What every command comes to, by the mode, the state of the call and the actor's own state.
//!
//! A cell is either what it comes to (`=` and the actor's own state afterwards, with `!` when the
//! call is over then; a bare `=` for a callInvite, which makes another call) or the last three
//! digits of the refusal's code and its reason. The call has these members:
//!
//! - `ann`, who created it on `ann1`;
//! - the actor, where it is not she: `bob` on `bob1`, in the state of the row;
//! - `cid`, whom `ann` is ringing (in the row `inviter`, `bob` is);
//! - `dee`, who accepted, in a call that is answered.
//!
//! `one` is a cancel that names `cid` alone, `ring` a callingInvite of `eve`.

/// A table: mode, state of the call, rows.
pub struct Table {
    pub mode: &'static str,
    pub call: &'static str,
    pub rows: &'static str,
}

/// The commands, in the order of the cells.
pub const COLUMNS: [&str; 9] = [
    "invite", "cancel", "one", "accept", "reject", "ring", "join", "quit", "end",
];

pub const TABLES: &[Table] = &[
    Table {
        mode: "advanced",
        call: "unanswered",
        rows: "
inviting         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 270 state     | =accepted   | 270 state     | 270 state
not_yet_received | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 270 state     | =accepted   | 270 state     | 270 state
received         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 270 state     | =accepted   | 270 state     | 270 state
creator          | 270 inCall | =accepted!   | =accepted!   | 270 state     | 270 state     | =accepted     | 283 primary | =quit!        | =accepted!
creator_moves    | 270 inCall | =accepted!   | =accepted!   | 270 state     | 270 state     | =accepted     | =accepted   | =quit!        | =accepted!
rejected         | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 270 state     | =accepted   | 270 state     | 270 state
cancelled        | =          | 273 inviter  | 273 inviter  | 276 cancelled | 276 cancelled | 276 cancelled | =accepted   | 276 cancelled | 276 cancelled
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 276 timeout   | =accepted   | 276 timeout   | 276 timeout
unknown          | =          | 273 inviter  | 273 inviter  | 270 state     | 270 state     | 270 state     | 270 state   | 270 state     | 270 state
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 274 member    | =accepted   | 274 member    | 274 member
",
    },
    Table {
        mode: "advanced",
        call: "answered",
        rows: "
inviting         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 270 state     | =accepted   | 270 state     | 270 state
not_yet_received | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 270 state     | =accepted   | 270 state     | 270 state
received         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 270 state     | =accepted   | 270 state     | 270 state
creator          | 270 inCall | 271 answered | =accepted    | 270 state     | 270 state     | =accepted     | 283 primary | =quit         | =accepted!
creator_moves    | 270 inCall | 271 answered | =accepted    | 270 state     | 270 state     | =accepted     | =accepted   | =quit         | =accepted!
creator_left     | =          | 271 answered | =quit        | 270 state     | 270 state     | 270 state     | =accepted   | 270 state     | 270 state
here             | 270 inCall | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | =accepted     | 283 primary | =quit         | =accepted!
elsewhere        | 270 inCall | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | =accepted     | =accepted   | =quit         | =accepted!
inviter          | 270 inCall | 273 inviter  | =accepted    | 270 answered  | 270 answered  | =accepted     | 283 primary | =quit         | =accepted!
inviter_left     | =          | 273 inviter  | =quit        | 270 answered  | 270 answered  | 270 state     | =accepted   | 270 state     | 270 state
rejected         | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 270 state     | =accepted   | 270 state     | 270 state
cancelled        | =          | 273 inviter  | 273 inviter  | 276 cancelled | 276 cancelled | 276 cancelled | =accepted   | 276 cancelled | 276 cancelled
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 276 timeout   | =accepted   | 276 timeout   | 276 timeout
quit             | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 270 state     | =accepted   | 270 state     | 270 state
unknown          | =          | 273 inviter  | 273 inviter  | 270 state     | 270 state     | 270 state     | 270 state   | 270 state     | 270 state
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 274 member    | =accepted   | 274 member    | 274 member
",
    },
    Table {
        mode: "advanced",
        call: "cancelled",
        rows: "
creator          | =          | 276 ended    | 276 cancelled | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
creator_left     | =          | 276 ended    | 276 cancelled | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
rejected         | =          | 273 inviter  | 273 inviter   | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
cancelled        | =          | 273 inviter  | 273 inviter   | 276 cancelled | 276 cancelled | 276 cancelled | 276 ended   | 276 cancelled | 276 cancelled
timeout          | =          | 273 inviter  | 273 inviter   | 276 timeout   | 276 timeout   | 276 timeout   | 276 ended   | 276 timeout   | 276 timeout
stranger         | =          | 274 member   | 274 member    | 274 member    | 274 member    | 274 member    | 276 ended   | 274 member    | 274 member
",
    },
    Table {
        mode: "advanced",
        call: "ended",
        rows: ADVANCED_OVER,
    },
    Table {
        mode: "advanced",
        call: "abandoned",
        rows: ADVANCED_OVER,
    },
    Table {
        mode: "advanced",
        call: "forgotten",
        rows: ADVANCED_OVER,
    },
    Table {
        mode: "general",
        call: "unanswered",
        rows: "
inviting         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 286 mode | 286 mode | 286 mode | 286 mode
not_yet_received | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 286 mode | 286 mode | 286 mode | 286 mode
received         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 286 mode | 286 mode | 286 mode | 286 mode
creator          | 270 inCall | =accepted!   | =accepted!   | 270 state     | 270 state     | 286 mode | 286 mode | 286 mode | 286 mode
creator_moves    | 270 inCall | =accepted!   | =accepted!   | 270 state     | 270 state     | 286 mode | 286 mode | 286 mode | 286 mode
rejected         | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
cancelled        | =          | 273 inviter  | 273 inviter  | 276 cancelled | 276 cancelled | 286 mode | 286 mode | 286 mode | 286 mode
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 286 mode | 286 mode | 286 mode | 286 mode
unknown          | =          | 273 inviter  | 273 inviter  | 270 state     | 270 state     | 286 mode | 286 mode | 286 mode | 286 mode
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 286 mode | 286 mode | 286 mode | 286 mode
",
    },
    Table {
        mode: "general",
        call: "answered",
        rows: "
inviting         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 286 mode | 286 mode | 286 mode | 286 mode
not_yet_received | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 286 mode | 286 mode | 286 mode | 286 mode
received         | =          | 273 inviter  | 273 inviter  | =accepted     | =rejected     | 286 mode | 286 mode | 286 mode | 286 mode
creator          | 270 inCall | 271 answered | 271 answered | 270 state     | 270 state     | 286 mode | 286 mode | 286 mode | 286 mode
creator_moves    | 270 inCall | 271 answered | 271 answered | 270 state     | 270 state     | 286 mode | 286 mode | 286 mode | 286 mode
here             | 270 inCall | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
elsewhere        | 270 inCall | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
rejected         | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 286 mode | 286 mode | 286 mode | 286 mode
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 286 mode | 286 mode | 286 mode | 286 mode
",
    },
    Table {
        mode: "general",
        call: "completed",
        rows: "
creator          | =          | 271 answered | 271 answered | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
here             | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
elsewhere        | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
rejected         | =          | 273 inviter  | 273 inviter  | 270 answered  | 270 answered  | 286 mode | 286 mode | 286 mode | 286 mode
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 286 mode | 286 mode | 286 mode | 286 mode
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 286 mode | 286 mode | 286 mode | 286 mode
",
    },
    Table {
        mode: "general",
        call: "cancelled",
        rows: "
creator          | =          | 276 ended    | 276 ended    | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
rejected         | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
cancelled        | =          | 273 inviter  | 273 inviter  | 276 cancelled | 276 cancelled | 286 mode | 286 mode | 286 mode | 286 mode
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 286 mode | 286 mode | 286 mode | 286 mode
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 286 mode | 286 mode | 286 mode | 286 mode
",
    },
    Table {
        mode: "general",
        call: "forgotten",
        rows: "
inviting         | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
creator          | =          | 271 answered | 271 answered | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
here             | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
rejected         | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 286 mode | 286 mode | 286 mode | 286 mode
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 286 mode | 286 mode | 286 mode | 286 mode
",
    },
    Table {
        mode: "unknown",
        call: "answered",
        rows: "
inviting         | =          | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode
creator          | 270 inCall | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode
here             | 270 inCall | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode
elsewhere        | 270 inCall | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode
stranger         | =          | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode | 270 mode
",
    },
    Table {
        mode: "advanced",
        call: "none",
        rows: "
stranger         | =          | 276 unknownCall | 276 unknownCall | 276 unknownCall | 276 unknownCall | 276 unknownCall | 276 unknownCall | 276 unknownCall | 276 unknownCall
",
    },
];

/// An advanced call that was answered and is over; `cid` was still being rung.
const ADVANCED_OVER: &str = "
inviting         | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
not_yet_received | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
received         | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
creator          | =          | 271 answered | 276 ended    | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
creator_left     | =          | 271 answered | 276 ended    | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
here             | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
elsewhere        | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
inviter          | =          | 273 inviter  | 276 ended    | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
rejected         | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
cancelled        | =          | 273 inviter  | 273 inviter  | 276 cancelled | 276 cancelled | 276 cancelled | 276 ended   | 276 cancelled | 276 cancelled
timeout          | =          | 273 inviter  | 273 inviter  | 276 timeout   | 276 timeout   | 276 timeout   | 276 ended   | 276 timeout   | 276 timeout
quit             | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
unknown          | =          | 273 inviter  | 273 inviter  | 276 ended     | 276 ended     | 276 ended     | 276 ended   | 276 ended     | 276 ended
stranger         | =          | 274 member   | 274 member   | 274 member    | 274 member    | 274 member    | 276 ended   | 274 member    | 274 member
";
