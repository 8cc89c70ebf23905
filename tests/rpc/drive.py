"""Drives `offhook rpc` through every method and every event: `drive.py BINARY`.

Each scenario has users of its own on one server. Waiting is always for something to be said, never
for time to pass.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import shapes
from housekeeping import the_database_and_its_copies
from malformed import lines_that_are_no_requests, parameters_that_are_refused
from peers import DEADLINE_S, SEEN, Engine, Server

ACCEPTED, REJECTED, RECEIVED, TIMEOUT, QUIT = 1, 2, 5, 6, 7
# Twice as many events: more than the pipe, the writer's queue and the stream hold together.
SLOW_READER_CALLS = 720


class World:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.server = Server(binary, folder / "server")

    def engine(self, user, database=None, **more):
        database = self.folder / f"{database or user}.db"
        return Engine(more.pop("server", self.server), user, database, **more)

    def offhook(self, *words):
        """Runs a subcommand to its end: exit code, stdout, stderr."""
        words = [self.binary, *map(str, words)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stdout, done.stderr


def ring(caller, callee, **config):
    """A call that rings, as seen by both; its id."""
    call = caller.call("callInvite", {"invitees": [callee.user]}, **config)["callID"]
    callee.event("callInvitationReceived", callID=call, caller=caller.user)
    caller.states(call, **{callee.user: RECEIVED})
    return call


def a_general_call(world):
    ann, bob, too = world.engine("ann g"), world.engine("bob g"), world.engine("bob g", "bob g 2")
    asked = ann.send(
        "callInvite",
        {"invitees": [bob.user], "config": {"extendedData": "hello", "timeout": 30}},
    )
    replied, message = ann.reply_at(asked)
    call = message["result"]["callID"]
    assert message["result"]["timeout"] == 30 and len(call) <= 32
    index, created = ann.event_at("callInvitationCreated", callID=call)
    assert replied < index, "the verdict comes before the events that it caused"
    assert (created["mode"], created["caller"], created["timeout"]) == (0, ann.user, 30)
    assert [user["userID"] for user in created["callUserList"]] == [ann.user, bob.user]
    for device in (bob, too):
        heard = device.event("callInvitationReceived", callID=call, inviter=ann.user)
        assert heard["extendedData"] == "hello" and "over" not in heard
        assert heard["deadline"] == created["createTime"] + 30_000
        assert 0 < heard["remaining"] <= 30_000
    ann.states(call, **{bob.user: RECEIVED})
    rings = bob.call("ringing")
    assert [ring["callID"] for ring in rings] == [call] and rings[0]["extendedData"] == "hello"
    replied, message = bob.reply_at(bob.send("callAccept", {"callID": call}))
    assert message["result"] == {"callID": call}
    assert replied < bob.states(call, **{bob.user: ACCEPTED})
    ann.states(call, **{bob.user: ACCEPTED})
    elsewhere = too.event("callHandledElsewhere", callID=call)
    assert elsewhere["state"] == ACCEPTED
    assert elsewhere["deviceID"] == bob.call("status")["deviceID"]
    assert bob.call("ringing") == []
    late = too.refused("callAccept", {"callID": call})
    assert late.code in (6000270, 6000276), late
    ann.refused("callQuit", {"callID": call}, 6000286)
    # Two answers in one breath: the order of the lines counts.
    call = ring(ann, bob)
    asked = [bob.send(method, {"callID": call}) for method in ("callAccept", "callReject")]
    assert bob.result(asked[0]) == {"callID": call}
    assert bob.reply_at(asked[1])[1]["error"]["code"] in (6000270, 6000276)
    ann.states(call, **{bob.user: ACCEPTED})
    # Declined, taken back, run out.
    call = ring(ann, bob)
    assert bob.call("callReject", {"callID": call}, extendedData="busy") == {"callID": call}
    ann.states(call, **{bob.user: REJECTED})
    call = ring(ann, bob)
    taken_back = ann.call("callCancel", {"callID": call, "invitees": []}, extendedData="never mind")
    assert taken_back == {"callID": call, "errorInvitees": []}
    heard = bob.event("callInvitationCancelled", callID=call)
    assert (heard["inviter"], heard["extendedData"]) == (ann.user, "never mind")
    call = ann.call("callInvite", {"invitees": [bob.user]}, timeout=2)["callID"]
    bob.event("callInvitationReceived", callID=call, timeout=2)
    bob.event("callInvitationTimeout", callID=call, mode=0)
    ann.states(call, **{bob.user: TIMEOUT})
    for device in (ann, bob, too):
        device.leave()


def an_advanced_call(world):
    ann, bob, cyd = (world.engine(f"{name} a") for name in ("ann", "bob", "cyd"))
    desk = world.engine(ann.user, "ann a desk")
    call = ring(ann, bob, mode=1, extendedData="topic")
    bob.call("callAccept", {"callID": call})
    ann.states(call, **{bob.user: ACCEPTED})
    more = {"callID": call, "invitees": [cyd.user, bob.user]}
    rung = ann.call("callingInvite", more, timeout=20)
    assert rung["errorUserList"] == [{"userID": bob.user, "reason": 6000270}]
    cyd.event("callInvitationReceived", callID=call, inviter=ann.user, timeout=20)
    bob.states(call, **{cyd.user: RECEIVED})
    joined = cyd.call("callJoin", {"callID": call})
    assert joined["extendedData"] == "topic" and joined["joinTime"] >= joined["createTime"]
    assert {user["userID"] for user in joined["callUserList"]} == {ann.user, bob.user, cyd.user}
    ann.states(call, **{cyd.user: ACCEPTED})
    # The call moves from one device to the other.
    desk.call("callJoin", {"callID": call})
    moved = ann.event("callPrimaryDeviceChanged", callID=call)
    assert moved["deviceID"] == desk.call("status")["deviceID"]
    desk.refused("callJoin", {"callID": call}, 6000283)
    left = bob.call("callQuit", {"callID": call}, extendedData="bye")
    assert left["createTime"] <= left["acceptTime"] <= left["quitTime"]
    cyd.states(call, **{bob.user: QUIT})
    replied, message = desk.reply_at(desk.send("callEnd", {"callID": call}))
    over = message["result"]
    assert over["createTime"] == over["acceptTime"] <= over["endTime"]
    heard, ended = desk.event_at("callInvitationEnded", callID=call, operatedUserID=ann.user)
    assert replied < heard and ended["endTime"] == over["endTime"]
    cyd.event("callInvitationEnded", callID=call, mode=1, caller=ann.user)
    ann.refused("callEnd", {"callID": call}, 6000276)
    for device in (ann, bob, cyd, desk):
        device.leave()


def no_network(world):
    ann, bob = world.engine("ann n"), world.engine("bob n")
    assert ann.call("setNetwork", {"online": False}) == {}
    ann.event("connectionStateChanged", state=3)
    assert ann.call("status")["connection"]["state"] == 3
    on_disk = ann.call("callInvite", {"invitees": [bob.user], "wait": "disk"})
    assert on_disk["pending"] is True
    waiting = ann.send("callInvite", {"invitees": ["nobody n"], "config": {"mode": 1}})
    withdrawn = ann.send("callInvite", {"invitees": ["somebody n"]})
    listed = ann.call("pending")
    assert [entry["command"] for entry in listed] == ["callInvite"] * 3
    assert listed[0]["op"] == on_disk["op"] and listed[0]["params"]["invitees"] == [bob.user]
    assert all(not entry["sent"] and entry["expiresAt"] > 0 for entry in listed)
    first = ann.call("queryCallInvitationList")
    assert first["callList"] == [] and [e["op"] for e in first["pending"]] == [
        entry["op"] for entry in listed
    ]
    assert ann.call("status")["pending"] == 3
    # Taken back before it was sent, it is never sent.
    cancelled = {"callID": listed[2]["callID"], "invitees": []}
    assert ann.call("callCancel", cancelled)["errorInvitees"] == []
    index, message = ann.reply_at(withdrawn)
    assert message["error"]["code"] == 6100002, message
    assert ann.call("setNetwork", {"online": True}) == {}
    ann.event("connectionStateChanged", state=2)
    at, settled = ann.event_at("commandSettled", op=on_disk["op"])
    assert settled["command"] == "callInvite" and settled["callID"] == on_disk["callID"]
    assert settled["result"]["callID"] == on_disk["callID"]
    assert at < ann.event_at("callInvitationCreated", callID=on_disk["callID"])[0]
    bob.event("callInvitationReceived", callID=on_disk["callID"])
    # Already in a call by then.
    replied, message = ann.reply_at(waiting)
    assert message["error"]["code"] == 6000270, message
    assert message["error"]["data"]["reason"] == "inCall", message
    assert message["error"]["data"]["callID"] == on_disk["callID"], message
    # A command as a notification is settled as one, too.
    request = {"callID": on_disk["callID"], "invitees": []}
    ann.line(json.dumps({"jsonrpc": "2.0", "method": "callCancel", "params": request}))
    assert "result" in ann.event("commandSettled", command="callCancel")
    bob.event("callInvitationCancelled", callID=on_disk["callID"])
    assert ann.call("networkChanged") == {}
    assert ann.call("status")["connection"]["state"] == 2
    for device in (ann, bob):
        device.leave()


def from_one_run_to_the_next(world):
    ann, bob = world.engine("ann r"), world.engine("bob r")
    # A second process on the file waits for the first one's place.
    code, out, err = world.offhook("rpc", *arguments(world, ann.user))
    (said,) = [json.loads(line) for line in out.splitlines()]
    assert (code, err, said["method"]) == (0, "", "connectionStateChanged"), (out, err)
    assert said["params"]["state"] == 0 and "another" in said["params"]["extendedData"], said
    ring(bob, ann)
    ann.call("setNetwork", {"online": False})
    asked = ann.send("callInvite", {"invitees": ["cyd r"], "config": {"timeout": 60}})
    op = ann.call("pending")[0]["op"]
    ann.leave()
    assert not any(f'"id":{asked},' in line for line in ann.out.lines), "nothing was decided"
    last = max(params.get("position", 0) for _, _, params in ann.notifications())
    ann = world.engine("ann r")
    settled = ann.event("commandSettled", op=op)
    assert settled["position"] > last
    seen = ann.call("eventsSince", {"position": 0})
    for event in seen["events"]:
        shapes.check_event(event["name"], event["params"], event["position"])
    names = [event["name"] for event in seen["events"]]
    assert names[0] == "callInvitationReceived" and "commandSettled" in names, names
    positions = [event["position"] for event in seen["events"]]
    assert positions == sorted(set(positions)) and not seen["more"]
    page = ann.call("eventsSince", {"position": 0, "limit": 1})
    assert page["more"] and page["events"] == seen["events"][:1]
    rest = ann.call("eventsSince", {"position": positions[0], "limit": 5000})
    assert rest["events"] == seen["events"][1:] and not rest["more"]
    assert ann.call("acknowledge", {"position": positions[-1]}) == {}
    # A verdict that was handed over as a reply is not owed again.
    call = ann.call("queryCallInvitationList", count=1)["callList"][0]["callID"]
    ann.call("callCancel", {"callID": call, "invitees": []})
    ann.leave("end of input")
    ann = world.engine("ann r")
    later = ann.call("eventsSince", {"position": positions[-1]})["events"]
    assert "commandSettled" not in [event["name"] for event in later], later
    for device in (ann, bob):
        device.leave()


def the_list_of_calls(world):
    ann, bob = world.engine("ann q"), world.engine("bob q")
    calls = []
    for n in range(5):
        call = ring(ann, bob, extendedData=str(n))
        if n % 2:
            bob.call("callReject", {"callID": call})
            ann.states(call, **{bob.user: REJECTED})
        else:
            ann.call("callCancel", {"callID": call, "invitees": []})
            bob.event("callInvitationCancelled", callID=call)
        calls.append(call)
    going_on = ring(ann, bob, mode=1)
    calls.append(going_on)
    whole = ann.call("queryCallInvitationList")
    assert [call["callID"] for call in whole["callList"]] == calls[::-1]
    assert whole["nextFlag"] == 0 and whole["pending"] == []
    newest = whole["callList"][0]
    assert (newest["state"], newest["mode"], newest["endTime"]) == (1, 1, 0)
    assert all(call["state"] == 2 and call["endTime"] > 0 for call in whole["callList"][1:])
    found, flag = [], 0
    while True:
        page = ann.call("queryCallInvitationList", count=4, nextFlag=flag)
        assert ("pending" in page) == (flag == 0)
        found += page["callList"]
        if not (flag := page["nextFlag"]):
            break
    assert found == whole["callList"]
    ids = lambda peer, **config: [  # noqa: E731
        call["callID"] for call in peer.call("queryCallInvitationList", **config)["callList"]
    ]
    assert ids(ann, state=1) == [going_on] and ids(ann, state=2) == calls[4::-1]
    assert ids(ann, **{"with": bob.user}) == calls[::-1] and ids(ann, **{"with": "cyd q"}) == []
    assert ids(ann, since=whole["callList"][2]["createTime"]) == calls[:2:-1]
    assert ids(bob, missed=True) == [calls[4], calls[2], calls[0]]
    assert ids(bob, missed=False, state=2) == [calls[3], calls[1]]
    assert bob.call("status")["missed"] == 3
    assert bob.call("markSeen", {"callIDs": [calls[0]]}) == {"missed": 2}
    assert bob.call("markSeen", {}) == {"missed": 0}
    assert bob.call("status")["missed"] == 0
    for device in (ann, bob):
        device.leave()


def asleep_and_woken_by_a_push(world):
    ann, bob = world.engine("ann s"), world.engine("bob s")
    assert bob.call("pause") == {}
    bob.event("connectionStateChanged", state=0, event=0)
    for method in ["status", "pending", "ringing", "queryCallInvitationList"]:
        bob.refused(method, None, 6100021)
    bob.refused("callInvite", {"invitees": [ann.user]}, 6100021)
    assert bob.call("resume") == {}
    bob.event("connectionStateChanged", state=2, event=0)
    bob.leave()
    bob = world.engine("bob s", server=Unreachable(world), wait=False)
    push = {"title": "a call", "voIPConfig": {"iOSVoIPHandleType": 1}}
    request = {"invitees": [bob.user]}
    call = ann.call("callInvite", request, pushConfig=push, timeout=30)["callID"]
    created = ann.event("callInvitationCreated", callID=call)
    ann.call("callCancel", {"callID": call, "invitees": []}, pushConfig=push)
    invited = world.server.push_payload(call, "invite")
    assert invited["deadline"] == created["createTime"] + 30_000 and invited["offhook"] == 1
    ringing = {"ring": True, "callID": call}
    assert bob.call("handlePush", {"payload": invited}) == ringing
    heard = bob.event("callInvitationReceived", callID=call, caller=ann.user, timeout=30)
    assert heard["deadline"] == invited["deadline"]
    assert bob.call("handlePush", {"payload": invited})["ring"] is False, "it rings once"
    assert [ring["callID"] for ring in bob.call("ringing")] == [call]
    cancelled = world.server.push_payload(call, "cancel")
    as_text = json.dumps(cancelled)
    assert bob.call("handlePush", {"payload": as_text}) == {"ring": False, "callID": call}
    bob.event("callInvitationCancelled", callID=call, inviter=ann.user)
    assert bob.call("ringing") == []
    bob.leave()
    bob = world.engine("bob s")
    ring(ann, bob)
    names = [name for _, name, params in bob.notifications() if params.get("callID") == call]
    assert names == [], f"what the push said is not heard again: {names}"
    for device in (ann, bob):
        device.leave()


def tokens(world):
    folder = world.folder
    key = folder / "auth.key"
    assert world.offhook("keygen", key)[0] == 0
    server = Server(world.binary, folder / "server with key", "--jwt-key", f"{key}.pub")

    def token(user, ttl=3600):
        code, out, err = world.offhook("token", "--user", user, "--jwt-key", key, "--ttl", ttl)
        assert code == 0, err
        return out.strip()

    ann = world.engine("ann t", server=server, token=token("ann t", 20))
    soon = ann.event("tokenWillExpire")
    assert 0 < soon["second"] <= 20
    for bad, code in [
        ("nonsense", 6000103),
        (token("bob t"), 6000103),
        (token("ann t", -60), 6000106),
    ]:
        ann.refused("renewToken", {"token": bad}, code)
    assert ann.call("renewToken", {"token": token("ann t")}) == {}
    # It holds over a pause.
    ann.call("pause")
    ann.call("resume")
    ann.event("connectionStateChanged", state=1)
    ann.event("connectionStateChanged", state=2)
    assert ann.notifications()[-1][1] != "tokenWillExpire"
    # A server that is silent when it is asked, and then out of reach.
    server.process.send_signal(signal.SIGSTOP)
    asked = ann.send("renewToken", {"token": token("ann t")})
    ann.call("setNetwork", {"online": False})
    assert ann.reply_at(asked)[1]["error"]["code"] == 6000009
    server.process.send_signal(signal.SIGCONT)
    ann.call("setNetwork", {"online": True})
    ann.event("connectionStateChanged", state=2)
    ann.leave()
    bob = world.engine("bob t", server=server, token=token("bob t", -60), wait=False)
    refused = bob.event("connectionStateChanged", state=0, event=5)
    assert refused["extendedData"] != ""
    status = bob.call("status")["connection"]
    assert (status["state"], status["event"]) == (0, 5) and status["error"]
    assert bob.call("renewToken", {"token": token("bob t")}) == {}
    bob.event("connectionStateChanged", state=2, event=0)
    bob.leave()
    server.kill()


def too_many_devices(world):
    devices = [world.engine("ann k", f"ann k {n}") for n in range(11)]
    kicked = devices[0].event("connectionStateChanged", state=0, event=4)
    assert kicked["extendedData"] != ""
    status = devices[0].call("status")
    assert (status["connection"]["state"], status["connection"]["event"]) == (0, 4)
    assert len({device.call("status")["deviceID"] for device in devices}) == 11
    for device in devices:
        device.leave()


def logging_out(world):
    ann, bob = world.engine("ann o"), world.engine("bob o")
    call = ring(ann, bob)
    assert ann.call("logout") == {}
    ann.event("connectionStateChanged", state=0, event=0)
    # The creator is gone, and nobody had answered.
    bob.event("callInvitationCancelled", callID=call)
    # A logout as the last word is carried out before the end.
    bob.line('{"jsonrpc":"2.0","id":"out","method":"logout"}')
    bob.leave("end of input")
    assert bob.reply_at("out")[1]["result"] == {}
    ann.leave()


def more_events_than_anybody_reads(world):
    """The stream of events breaks off; the journal has what is missing."""
    ann, bob = world.engine("ann m"), world.engine("bob m", flags=["-v"])
    bob.out.go_on.clear()
    for _ in range(SLOW_READER_CALLS):
        # Long, so that the pipe holds few of them.
        call = ann.call("callInvite", {"invitees": [bob.user]}, extendedData="x" * 2000)["callID"]
        ann.call("callCancel", {"callID": call, "invitees": []}, extendedData="x" * 2000)
    bob.out.go_on.set()
    last = ring(ann, bob)
    told = [params["position"] for _, _, params in bob.notifications() if "position" in params]
    journal, more = [], True
    while more:
        position = journal[-1] if journal else 0
        page = bob.call("eventsSince", {"position": position, "limit": 1000})
        journal += [event["position"] for event in page["events"]]
        more = page["more"]
    assert told == journal[: len(told)], "each is told once, in order"
    assert any("fell behind" in line for line in bob.err.lines), f"not with {len(told)} events"
    assert bob.call("ringing")[0]["callID"] == last
    for device in (ann, bob):
        device.leave()


def arguments(world, user, **other):
    given = {"server": world.server.address, "ca": world.server.ca, "user": user}
    given |= {"db": world.folder / f"{user}.db"} | other
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def what_keeps_it_from_starting(world):
    nowhere = world.folder / "no such folder" / "x"
    for path in ("ca", "db"):
        other = {"db": world.folder / "ann e.db"} | {path: nowhere}
        code, out, err = world.offhook("rpc", *arguments(world, "ann e", **other))
        assert (code, out) == (1, ""), (code, out, err)
        assert len(err.splitlines()) == 1 and str(nowhere) in err, err
    # What cannot be meant is wrong usage, as everywhere on the command line.
    for user, other, named in [
        ("no/slash", {}, "no/slash"),
        ("", {}, "--user"),
        ("ann e", {"server": "no port"}, "no port"),
        ("ann e", {"server": "localhost:0"}, "localhost:0"),
    ]:
        other = {"db": world.folder / "never made.db"} | other
        code, out, err = world.offhook("rpc", *arguments(world, user, **other))
        assert (code, out) == (2, "") and named in err, (code, out, err)
    assert not (world.folder / "never made.db").exists()
    code, out, err = world.offhook("rpc", "--user", "ann e")
    assert (code, out) == (2, "") and "--server" in err
    # It is ready without a server, too.
    lost = world.engine("ann e", server=Unreachable(world), wait=False)
    assert lost.call("status")["connection"]["state"] in (1, 3)
    assert lost.call("logout") == {}
    lost.leave()


class Unreachable:
    """A server that nobody is behind."""

    def __init__(self, world):
        self.binary, self.address, self.ca = world.binary, "127.0.0.1:9", world.server.ca


def a_damaged_database(world):
    ann = world.engine("ann d")
    ann.call("setNetwork", {"online": False})
    ann.call("callInvite", {"invitees": ["bob d"], "wait": "disk"})
    ann.leave()
    file = world.folder / "ann d.db"
    with open(file, "r+b") as damaged:
        damaged.write(bytes(16))
    ann = world.engine("ann d", wait=False)
    told = ann.event("databaseSetAside")
    assert told["path"] == f"{file.resolve()}.corrupt-1" and pathlib.Path(told["path"]).exists()
    again = ann.call("eventsSince", {"position": 0})["events"]
    assert [event["params"] | {"position": event["position"]} for event in again] == [told]
    ann.leave()
    code, out, _ = world.offhook("inspect", file, "timeline", "--json")
    (line,) = json.loads(out)["timeline"]
    assert (code, line["source"], line["what"]) == (0, "app", "databaseSetAside"), line
    code, out, _ = world.offhook("inspect", file, "timeline")
    assert code == 0 and "databaseSetAside" in out and told["path"] in out, out
    # Cut off to nothing it looks like a new one. It is not passed over in silence.
    file.write_bytes(b"")
    ann = world.engine("ann d")
    ann.leave()
    assert any("whatever it held is gone" in line for line in ann.err.lines), ann.err.lines


def nobody_listens(world):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [world.binary, "rpc", *map(str, arguments(world, "ann x"))]
    ann = subprocess.Popen(command, text=True, **pipes)
    assert "connectionStateChanged" in ann.stdout.readline()
    ann.stdout.close()
    until = time.monotonic() + DEADLINE_S
    try:
        while ann.poll() is None and time.monotonic() < until:
            ann.stdin.write('{"jsonrpc":"2.0","id":1,"method":"status"}\n')
            ann.stdin.flush()
    except BrokenPipeError:
        pass
    assert ann.wait(DEADLINE_S) == 0
    assert ann.stderr.read() == "", "it ends quietly"


SCENARIOS = [
    lines_that_are_no_requests,
    parameters_that_are_refused,
    a_general_call,
    an_advanced_call,
    no_network,
    from_one_run_to_the_next,
    the_list_of_calls,
    asleep_and_woken_by_a_push,
    tokens,
    too_many_devices,
    logging_out,
    the_database_and_its_copies,
    what_keeps_it_from_starting,
    a_damaged_database,
    nobody_listens,
    more_events_than_anybody_reads,
]


def main(binary, only):
    with tempfile.TemporaryDirectory() as folder:
        world = World(binary, pathlib.Path(folder))
        try:
            for scenario in SCENARIOS:
                if only and scenario.__name__ not in only:
                    continue
                began = time.monotonic()
                scenario(world)
                print(f"{scenario.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        finally:
            world.server.kill()
    if not only:
        assert SEEN["methods"] == set(shapes.RESULTS), set(shapes.RESULTS) - SEEN["methods"]
        assert SEEN["events"] == set(shapes.EVENTS), set(shapes.EVENTS) - SEEN["events"]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
