//! Bugs planted by hand, one at a time, to show that the simulator finds them.
//!
//! `cargo test --test simulation -- --ignored --nocapture mutants` copies the tree, plants each in
//! turn, builds the simulation and runs seeds until one fails; without optimization, because most
//! are found sooner than the build would be done. `OFFHOOK_SIM_MUTANT=name` plants only those whose
//! name has that in it, and does not look first whether the tree holds without any.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In how many seeds each has to be found.
const SEEDS_MAX: u64 = 1_000;

/// A bug: what it is, and the places in the source that make it.
struct Mutant {
    name: &'static str,
    edits: &'static [Edit],
}

/// In that file, the one text becomes the other.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "skip the fence",
        edits: &[Edit {
            file: "src/client/core/lease.rs",
            from: "generation.is_some_and(|generation| generation != found.generation)",
            to: "generation.is_some_and(|generation| generation > found.generation)",
        }],
    },
    Mutant {
        name: "skip a dedupe",
        edits: &[Edit {
            file: "src/call/hear.rs",
            from: "            && self.me.invitation > shown.rung\n",
            to: "            && self.me.invitation >= shown.rung\n",
        }],
    },
    Mutant {
        name: "emit before commit",
        edits: &[
            Edit {
                file: "src/client/core/mod.rs",
                from: "        let (value, due, told, receipts, written, noted) = self.on_file(now, |tx, syncing| {\n",
                to: "        let mut early = Vec::new();\n        let done = self.on_file(now, |tx, syncing| {\n",
            },
            Edit {
                file: "src/client/core/mod.rs",
                from: "            Ok((value, Due::read(tx)?, told, receipts, written, noted))\n        })?;\n        if written",
                to: "            early = told;\n            Ok((value, Due::read(tx)?, receipts, written, noted))\n        });\n        self.tell_own(early);\n        let (value, due, receipts, written, noted) = done?;\n        if written",
            },
            Edit {
                file: "src/client/core/mod.rs",
                from: "        self.due = due;\n        self.tell_own(told);\n",
                to: "        self.due = due;\n",
            },
        ],
    },
    Mutant {
        name: "acknowledge before sync",
        edits: &[Edit {
            file: "src/client/store/mod.rs",
            from: "pragma_update(None, \"synchronous\", \"FULL\")",
            to: "pragma_update(None, \"synchronous\", \"NORMAL\")",
        }],
    },
    Mutant {
        name: "acknowledge before sync, at the server",
        edits: &[Edit {
            file: "src/server/store/sqlite/mod.rs",
            from: "pragma_update(None, \"synchronous\", \"FULL\")",
            to: "pragma_update(None, \"synchronous\", \"NORMAL\")",
        }],
    },
    Mutant {
        name: "move the cursor early",
        edits: &[Edit {
            file: "src/client/core/frames.rs",
            from: "        let taken = self.write_synced(now, |work| {\n            let unknown = if live {\n",
            to: "        if let Some(Cursor { seq, .. }) = cursor {\n            self.write_synced(now, |work| work.tx.advance(Cursor { epoch, seq }, work.now))?;\n        }\n        let taken = self.write_synced(now, |work| {\n            let unknown = if live {\n",
        }],
    },
    Mutant {
        name: "forget a deadline on restart",
        edits: &[
            Edit {
                file: "src/server/core/mod.rs",
                from: "                next_due: Some(now),\n",
                to: "                next_due: None,\n",
            },
            Edit {
                file: "src/server/core/mod.rs",
                from: "            self.next_due = work.read()?.next_due()?;\n",
                to: "            let due = work.read()?.next_due()?;\n            self.next_due = due.filter(|due| *due > self.started_at);\n",
            },
        ],
    },
    Mutant {
        name: "trust the wall clock",
        edits: &[Edit {
            file: "src/client/clock.rs",
            from: "        now.mono_ms.saturating_add(self.offset_ms)\n    }\n\n    /// What is to be kept",
            to: "        let _ = self.offset_ms;\n        now.wall_ms\n    }\n\n    /// What is to be kept",
        }],
    },
    Mutant {
        name: "compare states instead of revisions",
        edits: &[Edit {
            file: "src/call/hear.rs",
            from: "            .filter(|member| member.state_revision >= from)\n",
            to: "            .filter(|member| {\n                let before = self.before.and_then(|before| before.member(&member.user));\n                before.is_none_or(|before| before.state != member.state)\n            })\n",
        }],
    },
    Mutant {
        name: "let a superseded quit through",
        edits: &[Edit {
            file: "src/call/refuse.rs",
            from: "        Under::Primary(op) if Some(op) == now => Ok(()),\n",
            to: "        Under::Primary(op) if Some(op) == now || now.is_some() => Ok(()),\n",
        }],
    },
    Mutant {
        name: "forget a ring's closing",
        edits: &[Edit {
            file: "src/client/core/records.rs",
            from: "        if before.ringing && !(after.ringing && after.rung == before.rung) {\n",
            to: "        if before.ringing && after.ringing && after.rung != before.rung {\n",
        }],
    },
    Mutant {
        name: "take an old epoch's cursor",
        edits: &[Edit {
            file: "src/server/store/sqlite/feed.rs",
            from: "    Ok(end.is_some_and(|end| i64::try_from(cursor.seq).is_ok_and(|seq| seq <= end)))\n",
            to: "    Ok(end.is_some())\n",
        }],
    },
];

#[test]
fn every_mutant_has_its_place_in_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for mutant in MUTANTS {
        for edit in mutant.edits {
            let text = fs::read_to_string(root.join(edit.file)).unwrap();
            let count = text.matches(edit.from).count();
            assert_eq!(count, 1, "{}: {:?}", mutant.name, edit.from);
        }
    }
}

#[test]
#[ignore = "builds the tree once a mutant"]
fn mutants_are_found() {
    let wanted = std::env::var("OFFHOOK_SIM_MUTANT").unwrap_or_default();
    let home = tempfile::tempdir().unwrap();
    let tree = home.path().join("tree");
    copy_tree(Path::new(env!("CARGO_MANIFEST_DIR")), &tree);
    let target = std::env::var_os("OFFHOOK_SIM_MUTANT_TARGET")
        .map_or_else(|| home.path().join("target"), PathBuf::from);
    if wanted.is_empty() {
        assert_eq!(found(&tree, &target), Ok(None), "without any mutant");
    }
    let mut missed = Vec::new();
    for mutant in MUTANTS.iter().filter(|one| one.name.contains(&wanted)) {
        let originals = plant(&tree, mutant);
        let outcome = found(&tree, &target);
        for (file, text) in originals.iter().rev() {
            fs::write(file, text).unwrap();
        }
        match outcome {
            Ok(Some(how)) => println!("{}: {how}", mutant.name),
            Ok(None) => missed.push(format!("{}: not in {SEEDS_MAX} seeds", mutant.name)),
            Err(why) => missed.push(format!("{}: {why}", mutant.name)),
        }
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

/// What a build needs, without what builds have left.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Plants a bug; gives the files as they were.
fn plant(tree: &Path, mutant: &Mutant) -> Vec<(PathBuf, String)> {
    let mut originals = Vec::new();
    for edit in mutant.edits {
        let file = tree.join(edit.file);
        let text = fs::read_to_string(&file).unwrap();
        let count = text.matches(edit.from).count();
        assert_eq!(
            count, 1,
            "{}: {:?} in {}",
            mutant.name, edit.from, edit.file
        );
        fs::write(&file, text.replace(edit.from, edit.to)).unwrap();
        originals.push((file, text));
    }
    originals
}

/// The line that tells of the first seed that fails, or `None`.
fn found(tree: &Path, target: &Path) -> Result<Option<String>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--test", "simulation", "--"])
        .args(["--nocapture", "after_the_storm"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("OFFHOOK_SIM_SEEDS", format!("0..{SEEDS_MAX}"))
        .env("OFFHOOK_SIM_FIRST", "1")
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().find(|line| line.starts_with("first: "));
    match (output.status.success(), first) {
        (true, _) => Ok(None),
        (false, Some(line)) => Ok(Some(line.trim_start_matches("first: ").to_owned())),
        (false, None) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let from = said.len().saturating_sub(2_000);
            Err(said.get(from..).unwrap_or_default().to_owned())
        }
    }
}
