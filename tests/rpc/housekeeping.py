"""The database: how large it is, made smaller, copied while it is in use, and put in place."""


def the_database_and_its_copies(world):
    settings = ("--set", "calls_kept=1000", "--set", "calls_kept_days=30")
    ann = world.engine("ann w", more=settings)
    ann.call("setNetwork", {"online": False})
    waits = ann.call("callInvite", {"invitees": ["bob w"], "wait": "disk"})
    storage = ann.call("storage")
    assert storage["bytes"] > 0 and storage["freeBytes"] <= storage["bytes"], storage
    done = ann.call("compact")
    assert done["bytesAfter"] <= done["bytesBefore"], done
    assert ann.call("storage")["freeBytes"] == 0
    copy = world.folder / "ann w's copy"
    made = ann.call("backup", {"path": str(copy)})
    assert made == {"path": str(copy), "bytes": copy.stat().st_size}, made
    ann.refused("backup", {"path": str(copy)}, 6000001, "path")
    ann.refused("backup", {}, 6000001, "path")
    ann.refused("backup", {"path": 7}, 6000001, "path")
    mine = ann.call("status")["deviceID"]

    other = world.engine("ann w", "ann w 2", more=("--restore", str(copy)))
    settled = other.event_from_the_start("commandSettled")
    assert settled["op"] == waits["op"] and settled["error"]["code"] == 6100004, settled
    assert other.call("pending") == [] and other.call("status")["deviceID"] != mine
    assert len(ann.call("pending")) == 1
    other.leave()
    ann.leave()

    to_ann = ["--server", world.server.address, "--ca", world.server.ca, "--user", "ann w"]
    onto = [*to_ann, "--db", world.folder / "ann w.db", "--restore", copy]
    code, out, err = world.offhook("rpc", *onto)
    assert (code, out) == (1, "") and "is there already" in err, (code, out, err)
    for setting in ("calls_kept=few", "calls_kept", "call_kept=3", "events_kept=all"):
        wrong = [*to_ann, "--db", world.folder / "never made.db", "--set", setting]
        code, out, err = world.offhook("rpc", *wrong)
        assert (code, out) == (2, "") and setting.split("=")[0] in err, (code, out, err)
    assert not list(world.folder.glob("never made.db*"))
    # What cannot start puts nothing in place, so that it can be said again.
    database = world.folder / "again.db"
    again = ["--db", database, "--restore", copy]
    to_bob = [*to_ann[:-1], "bob w"]
    no_ca = [*to_ann[:2], "--ca", world.folder / "no.pem", "--user", "ann w"]
    long_token = [*to_ann, "--token", "t" * 100_000]
    for words, named in ((to_bob, "ann w"), (no_ca, "no.pem"), (long_token, "token")):
        code, out, err = world.offhook("rpc", *words, *again)
        assert (code, out) == (1, "") and named in err, (code, out, err)
        assert not list(world.folder.glob("again.db*")), named
    world.engine("ann w", "again", more=("--restore", str(copy))).leave()
