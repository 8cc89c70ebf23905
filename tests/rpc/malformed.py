"""What is not as it should be: lines that are no requests, and parameters that are refused."""

import json

PARAMETER = 6000001


def lines_that_are_no_requests(world):
    ann = world.engine("ann l")
    odd = ["", "nonsense", '{"jsonrpc":', "[" * 5000, '{"a":1} {"b":2}']
    for line in odd:
        start = len(ann.out.lines)
        ann.line(line)
        error = ann.out.find(lambda line: line if '"error"' in line else None, start)[1]
        assert '"code":-32700' in error and '"id":null' in error, error
    invalid = [
        ("7", None),
        ("[]", None),
        ('[{"jsonrpc":"2.0","id":1,"method":"status"}]', None),
        ('{"jsonrpc":"2.0","id":true,"method":"status"}', None),
        ('{"method":"status","id":"x"}', "x"),
        ('{"jsonrpc":"2.0","id":"no method"}', "no method"),
        ('{"jsonrpc":"2.0","id":1.5,"method":"status","params":"x"}', 1.5),
        ('{"jsonrpc":"2.0","id":"' + "x" * (1 << 20) + '","method":"status"}', None),
    ]
    for line, wanted in invalid:
        start = len(ann.out.lines)
        ann.line(line)
        error = ann.out.find(lambda line: line if '"error"' in line else None, start)[1]
        assert '"code":-32600' in error, error
        assert json.loads(error)["id"] == wanted, error
    assert ann.refused("callEveryone").code == -32601
    # Ids of every type come back as they were, and what has none is not answered.
    for wanted in ["a string", 0, -7, 2.5, None]:
        assert "result" in ann.reply_at(ann.send("status", id=wanted))[1]
    start = len(ann.out.lines)
    for line in ['"method":"status"', '"method":"unheard of"', '"method":"acknowledge"']:
        ann.line('{"jsonrpc":"2.0",' + line + "}")
    ann.call("status", {"unknown": ["fields", "are", "ignored"]})
    assert len(ann.out.lines) == start + 1, ann.out.lines[start:]
    # The last line may be without an end.
    ann.process.stdin.write('{"jsonrpc":"2.0","id":"last","method":"shutdown"}')
    ann.leave(by="end of input")
    assert '"last"' in ann.out.lines[-1]


def parameters_that_are_refused(world):
    ann, bob = world.engine("ann p"), "bob p"
    invite, call = {"invitees": [bob]}, {"callID": "c"}

    def refused(method, params, reason):
        refusal = ann.refused(method, params, PARAMETER, reason)
        assert reason in refusal.message and refusal.data["name"] == "InvalidParameter", refusal
        assert refusal.data["retryable"] is False

    for wrong in [None, "bob", 7, [7], {"bob": 1}, [], ["no/slash"], [""], ["x" * 33], [ann.user]]:
        for method in ["callInvite", "callingInvite"]:
            refused(method, call | {"invitees": wrong}, "invitees")
    for wrong in [None, "bob", [None], ["no/slash"], [ann.user]]:
        refused("callCancel", call | {"invitees": wrong}, "invitees")
    refused("callInvite", {}, "invitees")
    refused("callInvite", None, "invitees")
    refused("callInvite", ["bob"], "params")
    addressed = ["callCancel", "callAccept", "callReject", "callingInvite", "callJoin"]
    for method in [*addressed, "callQuit", "callEnd"]:
        for wrong in [None, 7, "", "x" * 33, ["c"]]:
            refused(method, invite | {"callID": wrong}, "callID")
        refused(method, invite, "callID")
        refused(method, invite | call | {"config": []}, "config")
        refused(method, invite | call | {"config": {"extendedData": 7}}, "extendedData")
        refused(method, invite | call | {"config": {"extendedData": "é" * 1025}}, "extendedData")
        refused(method, invite | call | {"wait": "never"}, "wait")
        refused(method, invite | call | {"wait": True}, "wait")
    for method in ["callInvite", "callingInvite"]:
        for wrong in ["90", 1.5, True, 0, 601, -1, 1 << 40]:
            refused(method, invite | call | {"config": {"timeout": wrong}}, "timeout")
    for wrong in ["1", 2, -1, 99999, [1]]:
        refused("callInvite", invite | {"config": {"mode": wrong}}, "mode")
    wrong = {"enableNotReceivedCheck": 1}
    refused("callInvite", invite | {"config": wrong}, "enableNotReceivedCheck")
    for key, wrong in [
        ("title", 1),
        ("content", []),
        ("payload", {}),
        ("resourcesID", "x" * 33),
        ("threadID", False),
        ("enableBadge", "yes"),
        ("badgeIncrement", 0.5),
        ("voIPConfig", "x"),
    ]:
        for method in ["callInvite", "callCancel", "callingInvite", "callQuit", "callEnd"]:
            config = {"pushConfig": {key: wrong}}
            refused(method, invite | call | {"config": config}, f"pushConfig.{key}")
    for key, wrong in [
        ("iOSVoIPHandleType", "1"),
        ("iOSVoIPHandleValue", 1),
        ("iOSVoIPHasVideo", 1),
    ]:
        config = {"pushConfig": {"voIPConfig": {key: wrong}}}
        refused("callInvite", invite | {"config": config}, f"pushConfig.voIPConfig.{key}")
    for key, wrongs in {
        "count": ["1", 0, -1, 1.5],
        "nextFlag": ["1", -1, []],
        "state": ["ended", None, 1.5],
        "missed": ["true", 1],
        "with": [7, "no/slash"],
        "since": ["now", {}],
    }.items():
        for wrong in wrongs:
            if wrong is not None:
                refused("queryCallInvitationList", {"config": {key: wrong}}, key)
    for method, key, wrongs in [
        ("eventsSince", "position", [None, "0", -1, 1 << 63]),
        ("acknowledge", "position", [None, "0", -1, 1.5]),
        ("markSeen", "callIDs", ["c", [7], [""], {}]),
        ("setNetwork", "online", [None, 1, "true"]),
        ("renewToken", "token", [None, 7]),
        ("handlePush", "payload", [None, 7, "nonsense", "{}", {}, [], "x" * 9000]),
    ]:
        for wrong in wrongs:
            refused(method, {key: wrong}, key)
    refused("eventsSince", {"position": 0, "limit": 0}, "limit")
    refused("eventsSince", {"position": 0, "limit": "all"}, "limit")
    ann.refused("callInvite", {"invitees": [f"u{n}" for n in range(10)]}, 6000272)
    ann.refused("callAccept", call, 6000276)
    assert ann.call("pending") == [] and ann.call("status")["pending"] == 0
    ann.leave()
