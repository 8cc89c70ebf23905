//! The conversation as bindings have it: opened by a JSON object, its lines in memory.

use std::path::Path;

use offhook::client::rpc::{Line, Opening, Out, Session};
use offhook::{Code, Error};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// More lines than a test asks for.
const LINES: usize = 64;

struct Conversation {
    input: mpsc::Sender<Line>,
    output: mpsc::Receiver<Out>,
    session: JoinHandle<Result<(), Error>>,
    asked: u64,
}

impl Conversation {
    async fn open(with: &Value) -> Result<Self, Error> {
        let (engine, events) = Opening::read(&with.to_string())?.open().await?;
        let (input, lines) = mpsc::channel(LINES);
        let (said, output) = mpsc::channel(LINES);
        let session = tokio::spawn(Session::new(engine, events, said).run(lines));
        let mut opened = Self {
            input,
            output,
            session,
            asked: 0,
        };
        opened.ask("setNetwork", json!({"online": false})).await;
        Ok(opened)
    }

    /// The result of a request.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params});
        let line = Line::Text(request.to_string().into_bytes());
        self.input.send(line).await.expect("it listens");
        loop {
            let said = match self.output.recv().await.expect("it answers") {
                Out::Line(line) | Out::Verdict(line, _) => line,
                Out::Written(done) => {
                    done.send(()).expect("it waits");
                    continue;
                }
            };
            let said: Value = serde_json::from_str(&said).expect("JSON");
            if said["id"] == self.asked {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
        }
    }

    async fn end(mut self) {
        self.ask("shutdown", json!({})).await;
        self.session.await.expect("it ends").expect("closed");
    }
}

fn alice(folder: &TempDir, database: &str) -> Value {
    let database = folder.path().join(database);
    json!({"server": "127.0.0.1:9", "user": "alice", "database": database})
}

/// The same with a copy to be put in place.
fn restoring(mut with: Value, copy: &Path) -> Value {
    with["restore"] = json!(copy);
    with
}

#[tokio::test]
async fn a_program_that_is_opened_by_a_json_object_can_have_a_copy_put_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.db");
    let mut first = Conversation::open(&alice(&folder, "alice.db"))
        .await
        .expect("opened");
    let invite = json!({"invitees": ["bob"], "wait": "disk"});
    let waits = first.ask("callInvite", invite).await;
    first.ask("backup", json!({"path": copy})).await;
    let device = first.ask("status", json!({})).await["deviceID"].clone();
    first.end().await;

    let again = restoring(alice(&folder, "again.db"), &copy);
    let mut second = Conversation::open(&again).await.expect("opened");
    let status = second.ask("status", json!({})).await;
    assert_ne!(status["deviceID"], device, "the copy is another device");
    let since = second.ask("eventsSince", json!({"position": 0})).await;
    let settled = &since["events"][0];
    assert_eq!(settled["name"], "commandSettled", "{since}");
    assert_eq!(settled["params"]["op"], waits["op"]);
    assert_eq!(settled["params"]["error"]["code"], 6_100_004);
    second.end().await;

    // Neither is anything put over it, nor does it count as restored.
    let refused = Conversation::open(&again).await.err().expect("refused");
    assert_eq!(refused.code, Code::InvalidParameter);
    assert!(
        refused.message.contains("is there already"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn what_cannot_be_opened_has_no_copy_put_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.db");
    let mut first = Conversation::open(&alice(&folder, "alice.db"))
        .await
        .expect("opened");
    first.ask("backup", json!({"path": copy})).await;
    first.end().await;
    let mut of_bob = alice(&folder, "bob.db");
    of_bob["user"] = json!("bob");
    let mut with_a_wrong_setting = alice(&folder, "bob.db");
    with_a_wrong_setting["retention"] = json!({"callsKept": "few"});
    let of_no_copy = restoring(alice(&folder, "bob.db"), &folder.path().join("no.db"));
    for (with, reason) in [
        (restoring(of_bob, &copy), "user"),
        (
            restoring(with_a_wrong_setting, &copy),
            "retention.callsKept",
        ),
        (of_no_copy, "restore"),
    ] {
        let refused = Conversation::open(&with).await.err().expect("refused");
        assert_eq!(refused.reason, reason, "{}", refused.message);
        assert!(!folder.path().join("bob.db").exists(), "{reason}");
    }
}
