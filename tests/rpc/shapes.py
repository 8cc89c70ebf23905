"""What results and events look like: every key, with its type. No key may be missing, and none
may be there that is not named."""

S, I, B = "a string", "a whole number", "true or false"
ANY = "anything"


class Maybe:
    """A key that may be absent."""

    def __init__(self, shape):
        self.shape = shape


class Or:
    """One of several shapes."""

    def __init__(self, *shapes):
        self.shapes = shapes


def fits(value, shape):
    """None, or what is wrong."""
    if shape is ANY:
        return None
    if shape is None:
        return None if value is None else f"{value!r} is not null"
    if shape is S:
        return None if isinstance(value, str) else f"{value!r} is not {S}"
    if shape is I:
        good = isinstance(value, int) and not isinstance(value, bool)
        return None if good else f"{value!r} is not {I}"
    if shape is B:
        return None if isinstance(value, bool) else f"{value!r} is not {B}"
    if isinstance(shape, Or):
        wrong = [fits(value, one) for one in shape.shapes]
        return None if None in wrong else "; ".join(wrong)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{value!r} is not a list"
        return next((wrong for one in value if (wrong := fits(one, shape[0]))), None)
    if not isinstance(value, dict):
        return f"{value!r} is not an object"
    for key, inner in shape.items():
        if key not in value:
            if isinstance(inner, Maybe):
                continue
            return f"{key} is missing in {value}"
        inner = inner.shape if isinstance(inner, Maybe) else inner
        if wrong := fits(value[key], inner):
            return f"{key}: {wrong}"
    unknown = set(value) - set(shape)
    return f"{sorted(unknown)} in {value}" if unknown else None


ERROR = {
    "code": I,
    "message": S,
    "data": {
        "name": S,
        "reason": S,
        "retryable": B,
        "callID": Maybe(S),
        "state": Maybe(I),
        "deviceID": Maybe(S),
    },
}
USER = {"userID": S, "state": I, "extendedData": S}
ERROR_USER = {"userID": S, "reason": I}
CALL = {"callID": S}
DISK = {"callID": S, "op": S, "pending": B}
COMMANDS = {
    "callInvite": {
        "callID": S,
        "timeout": I,
        "errorUserList": [ERROR_USER],
        "errorInvitees": [USER],
    },
    "callCancel": {"callID": S, "errorInvitees": [S]},
    "callAccept": CALL,
    "callReject": CALL,
    "callingInvite": {"callID": S, "errorUserList": [ERROR_USER]},
    "callJoin": {
        "callID": S,
        "extendedData": S,
        "createTime": I,
        "joinTime": I,
        "callUserList": [USER],
    },
    "callQuit": {"callID": S, "createTime": I, "acceptTime": I, "quitTime": I},
    "callEnd": {"callID": S, "createTime": I, "acceptTime": I, "endTime": I},
}
PENDING = {
    "op": S,
    "callID": S,
    "command": S,
    "params": ANY,
    "queuedAt": I,
    "expiresAt": I,
    "sent": B,
    "attempts": I,
    "lastError": Or(None, S),
}
RESULTS = {
    "queryCallInvitationList": {
        "callList": [
            {
                "callID": S,
                "caller": S,
                "inviter": S,
                "createTime": I,
                "endTime": I,
                "state": I,
                "mode": I,
                "extendedData": S,
                "callUserList": [USER],
                "missed": B,
                "pending": [PENDING],
            }
        ],
        "nextFlag": I,
        "pending": Maybe([PENDING]),
    },
    "pending": [PENDING],
    "ringing": [
        {
            "callID": S,
            "inviter": S,
            "caller": S,
            "mode": I,
            "extendedData": S,
            "deadline": I,
            "remaining": I,
        }
    ],
    "status": {
        "userID": S,
        "deviceID": S,
        "connection": {"state": I, "event": I, "since": I, "error": Or(None, S)},
        "epoch": I,
        "cursor": I,
        "clockOffset": I,
        "rtt": I,
        "pending": I,
        "missed": I,
        "schema": I,
        "version": S,
    },
    "eventsSince": {"events": [{"position": I, "name": S, "params": ANY}], "more": B},
    "acknowledge": {},
    "markSeen": {"missed": I},
    "setNetwork": {},
    "networkChanged": {},
    "pause": {},
    "resume": {},
    "renewToken": {},
    "handlePush": {"ring": B, "callID": S},
    "storage": {"bytes": I, "freeBytes": I, "walBytes": I},
    "compact": {"bytesBefore": I, "bytesAfter": I},
    "backup": {"path": S, "bytes": I},
    "logout": {},
    "shutdown": {},
} | COMMANDS
CREATED = {
    "callID": S,
    "mode": I,
    "caller": S,
    "extendedData": S,
    "timeout": I,
    "createTime": I,
    "callUserList": [USER],
}
JOURNALED = {
    "callInvitationCreated": CREATED,
    "callInvitationReceived": CREATED
    | {"inviter": S, "deadline": I, "remaining": I, "over": Maybe(B)},
    "callInvitationCancelled": {"callID": S, "mode": I, "inviter": S, "extendedData": S},
    "callInvitationTimeout": {"callID": S, "mode": I, "local": Maybe(B)},
    "callInvitationEnded": {
        "callID": S,
        "mode": I,
        "caller": S,
        "operatedUserID": S,
        "extendedData": S,
        "endTime": I,
    },
    "callUserStateChanged": {"callID": S, "callUserList": [USER]},
    "callHandledElsewhere": {"callID": S, "state": I, "deviceID": S},
    "callPrimaryDeviceChanged": {"callID": S, "deviceID": S},
    "commandSettled": {
        "op": S,
        "callID": S,
        "command": S,
        "result": Maybe(ANY),
        "error": Maybe(ERROR),
    },
    "databaseSetAside": {"path": S, "pending": I, "ended": I, "lost": I},
}
FLEETING = {
    "connectionStateChanged": {"state": I, "event": I, "extendedData": S},
    "tokenWillExpire": {"second": I},
}
EVENTS = JOURNALED | FLEETING


def check(what, value, shape):
    wrong = fits(value, shape)
    assert wrong is None, f"{what}: {wrong}"


def check_event(name, params, position):
    """The fields of an event; `position` is where it is journaled, None for one that is not."""
    assert name in EVENTS, f"there is no event {name}"
    check(name, params, EVENTS[name])
    assert (position is None) == (name in FLEETING), f"{name} at {position}"
    if name == "commandSettled":
        assert ("result" in params) != ("error" in params), params
        if "result" in params:
            check(params["command"], params["result"], COMMANDS[params["command"]])
