"""The processes under test: a server, and engines that are driven by lines."""

import json
import subprocess
import threading
import time

import shapes

# Far more than anything takes: running into it is a failure, not a wait.
DEADLINE_S = 20
SEEN = {"methods": set(), "events": set()}


class Refused(Exception):
    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.code, self.message = error["code"], error["message"]
        self.data = error.get("data", {})


class Lines:
    """Collects what a process writes, line by line."""

    def __init__(self, stream):
        self.lines, self.ended, self.changed = [], False, threading.Condition()
        # Cleared: nothing more is read for now.
        self.go_on = threading.Event()
        self.go_on.set()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
            self.go_on.wait()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find(self, wanted, start=0, what="a line"):
        """Waits for the first line from `start` on that is wanted; its index, and what the test
        gave for it."""
        until, at = time.monotonic() + DEADLINE_S, start
        with self.changed:
            while True:
                for index in range(at, len(self.lines)):
                    if (found := wanted(self.lines[index])) is not None:
                        return index, found
                at = len(self.lines)
                left = until - time.monotonic()
                if self.ended or left <= 0:
                    why = "the process ended" if self.ended else f"not within {DEADLINE_S} s"
                    said = "\n".join(self.lines[start:])
                    raise AssertionError(f"{what}: {why}; what was said from {start} on:\n{said}")
                self.changed.wait(left)

    def wait_for_end(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended, DEADLINE_S), "it still writes"


class Process:
    def __init__(self, command, **more):
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def exit_code(self):
        return self.process.wait(DEADLINE_S)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Server(Process):
    def __init__(self, binary, folder, *more):
        data = str(folder)
        listen = ["serve", "--listen", "127.0.0.1:0", "--data", data]
        super().__init__([binary, "-v", *listen, *more], stdin=subprocess.DEVNULL)
        prefix = "listening on "
        _, line = self.out.find(lambda line: line if line.startswith(prefix) else None)
        self.binary, self.address, self.ca = binary, line[len(prefix) :], f"{data}/cert.pem"

    def push_payload(self, call, kind):
        """The payload of a push, from the log of the server."""

        def payload(line):
            at = line.find("payload={")
            if at < 0:
                return None
            value, _ = json.JSONDecoder().raw_decode(line[at + len("payload=") :])
            return value if (value["callID"], value["kind"]) == (call, kind) else None

        return self.err.find(payload, what=f"a push of {kind}")[1]


class Engine(Process):
    """An `offhook rpc`. What it says is kept in order; `at` is up to where a scenario has looked
    at its events."""

    def __init__(self, server, user, database, token=None, wait=True, flags=(), more=()):
        self.ids, self.asked, self.at = 0, {}, 0
        command = [server.binary, *flags, "rpc", "--server", server.address, "--ca", server.ca]
        command += ["--user", user, "--db", str(database)]
        command += ["--token", token] if token else []
        command += more
        super().__init__(command, stdin=subprocess.PIPE)
        self.user = user
        if wait:
            first = self.event("connectionStateChanged")
            assert (first["state"], first["event"]) == (1, 1), first
            self.event("connectionStateChanged", state=2, event=0)

    def line(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def send(self, method, params=None, **beside):
        """Asks without waiting for the answer; its id."""
        self.ids += 1
        message = {"jsonrpc": "2.0", "id": self.ids, "method": method} | beside
        if params is not None:
            message["params"] = params
        on_disk = isinstance(params, dict) and params.get("wait") == "disk"
        self.asked[message["id"]] = (method, on_disk, len(self.out.lines))
        self.line(json.dumps(message))
        return message["id"]

    def reply_at(self, wanted):
        """Where the answer stands, and the answer."""

        def answer(line):
            message = json.loads(line)
            found = "method" not in message and message["id"] == wanted
            return message if found and type(message["id"]) is type(wanted) else None

        method, on_disk, start = self.asked.get(wanted, (None, False, 0))
        index, message = self.out.find(answer, start, f"{self.user}: the answer to {method}")
        assert message["jsonrpc"] == "2.0" and len(message) == 3, message
        if "result" in message and method:
            shape = shapes.DISK if on_disk else shapes.RESULTS[method]
            shapes.check(method, message["result"], shape)
            SEEN["methods"].add(method)
        if "error" in message and message["error"]["code"] > 0:
            shapes.check("error", message["error"], shapes.ERROR)
        return index, message

    def result(self, wanted):
        message = self.reply_at(wanted)[1]
        if "error" in message:
            raise Refused(message["error"])
        return message["result"]

    def call(self, method, params=None, **config):
        """Asks and waits; `config` is the command's."""
        if config:
            params = dict(params or {}) | {"config": config}
        return self.result(self.send(method, params))

    def refused(self, method, params=None, code=None, reason=None, **config):
        try:
            result = self.call(method, params, **config)
        except Refused as refused:
            assert code is None or refused.code == code, refused
            assert reason is None or refused.data["reason"] == reason, refused
            return refused
        raise AssertionError(f"{method} {params} {config} was not refused: {result}")

    def notifications(self, start=0):
        """All so far, as (index, name, params)."""
        with self.out.changed:
            lines = list(enumerate(self.out.lines))[start:]
        messages = [(index, json.loads(line)) for index, line in lines]
        return [(i, m["method"], m["params"]) for i, m in messages if "method" in m]

    def event_at(self, name, **fields):
        """Waits for the next event of that name with these fields, after those looked at."""

        def wanted(line):
            message = json.loads(line)
            params = message.get("params", {})
            same = all(params.get(key) == value for key, value in fields.items())
            return params if message.get("method") == name and same else None

        what = f"{self.user}: {name} {fields}"
        index, params = self.out.find(wanted, self.at, what)
        self.at = index + 1
        return index, params

    def event(self, name, **fields):
        return self.event_at(name, **fields)[1]

    def event_from_the_start(self, name, **fields):
        """The same, also if it came before what was looked at."""
        self.at, at = 0, self.at
        params = self.event(name, **fields)
        self.at = max(self.at, at)
        return params

    def states(self, call, **wanted):
        """Waits until callUserStateChanged has told of these states, in one event or several; where
        the last one stands."""
        while wanted:
            index, params = self.event_at("callUserStateChanged", callID=call)
            for user in params["callUserList"]:
                if wanted.get(user["userID"]) == user["state"]:
                    del wanted[user["userID"]]
        return index

    def check(self):
        """All that was said, as a whole."""
        position = 0
        for _, name, params in self.notifications():
            params = dict(params)
            at = params.pop("position", None)
            shapes.check_event(name, params, at)
            SEEN["events"].add(name)
            if at is not None:
                assert at > position, f"{self.user}: position {at} after {position}"
                position = at

    def leave(self, by="shutdown"):
        """Ends it cleanly, and checks all that it said."""
        if by == "shutdown":
            self.call("shutdown")
        self.process.stdin.close()
        assert self.exit_code() == 0, (self.user, self.err.lines)
        self.out.wait_for_end()
        self.check()
