//! The dictionary of the database has in it what the schema has and nothing else, and its queries
//! answer the questions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Fixture;

const PAGE: &str = include_str!("../../docs/database.md");

fn part(title: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// The headings of a part, and what stands below each.
fn sections(part: &'static str) -> Vec<(&'static str, &'static str)> {
    let sections = part.split("\n### ").skip(1);
    sections
        .map(|text| text.split_once('\n').unwrap())
        .collect()
}

/// What stands in the first column of the table with that heading.
fn first_cells<'a>(text: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let begin = format!("| {heading} |");
    let lines = text.lines().skip_while(|line| !line.starts_with(&begin));
    let rows = lines.skip(2).take_while(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap()).collect()
}

fn strings(app: &Connection, sql: &str) -> BTreeSet<String> {
    let mut statement = app.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn owned(names: BTreeSet<&str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_table_view_and_column_is_in_the_dictionary_and_nothing_that_is_not() {
    let fixture = Fixture::empty();
    let app = fixture.app();
    for (title, kind) in [("Tables", "table"), ("Views", "view")] {
        let sections = sections(part(title));
        let named = sections.iter().map(|(name, _)| *name).collect();
        let there = strings(
            &app,
            &format!(
                "SELECT name FROM sqlite_schema
                  WHERE type = '{kind}' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
            ),
        );
        assert_eq!(owned(named), there);
        for (name, text) in sections {
            let columns = strings(
                &app,
                &format!("SELECT name FROM pragma_table_info('{name}')"),
            );
            assert_eq!(owned(first_cells(text, "column")), columns, "{name}");
        }
    }
}

#[test]
fn every_key_of_meta_is_in_the_dictionary_and_nothing_that_is_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/store");
    let mut keys = BTreeSet::new();
    for name in ["meta.rs", "clock.rs"] {
        for line in fs::read_to_string(folder.join(name)).unwrap().lines() {
            let value = line
                .trim_start_matches("pub(super) ")
                .strip_prefix("const ")
                .and_then(|rest| rest.split_once(": &str = \""));
            keys.extend(value.map(|(_, value)| value.trim_end_matches("\";").to_owned()));
        }
    }
    assert!(keys.contains("user_id"), "{keys:?}");
    assert_eq!(owned(first_cells(part("Tables"), "key")), keys);
}

#[test]
fn every_word_that_the_schema_explains_is_in_the_dictionary() {
    let words = "general advanced started ended completed cancelled abandoned forgotten inviting \
                 not_yet_received received accepted rejected timeout quit unknown verdict elsewhere \
                 timeout_local refused expired withdrawn dropped";
    let schema: String = super::SCHEMA.concat();
    for word in words.split_whitespace() {
        assert!(schema.contains(word), "{word} is no word of the schema");
        assert!(part("Tables").contains(&format!("`{word}`")), "{word}");
    }
}

/// The questions, each with its query.
fn questions() -> Vec<(&'static str, &'static str)> {
    let query = |text: &'static str| {
        let (_, rest) = text.split_once("```sql\n").unwrap();
        rest.split("```").next().unwrap()
    };
    let sections = sections(part("Questions")).into_iter();
    sections.map(|(title, text)| (title, query(text))).collect()
}

fn answer(app: &Connection, query: &str) -> String {
    let mut statement = app.prepare(query).unwrap();
    let names: Vec<&str> = statement.column_names().collect();
    let names = names.join(" | ") + "\n";
    let columns = statement.column_count();
    let cell = |value: Value| match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(_) => panic!("a blob"),
    };
    let rows = statement.query_map([], |row| {
        let cells = (0..columns).map(|n| Ok(cell(row.get(n)?)));
        Ok(cells
            .collect::<rusqlite::Result<Vec<String>>>()?
            .join(" | ")
            + "\n")
    });
    let rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    assert!(!rows.is_empty(), "no answer: {query}");
    names + &rows.concat()
}

#[test]
fn every_question_has_its_answer() {
    let fixture = Fixture::new();
    let app = fixture.app();
    let questions = questions();
    assert!(questions.len() >= 10);
    let mut answers = String::new();
    for (title, query) in questions {
        answers += &format!("{title}\n{}\n", answer(&app, query));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inspect/expected/questions.txt");
    if std::env::var_os("OFFHOOK_BLESS").is_some() {
        fs::write(&path, &answers).unwrap();
    }
    assert_eq!(answers, fs::read_to_string(&path).unwrap());
}

/// Old ones lack much of SQL.
#[test]
fn the_shell_of_the_system_takes_every_query_while_the_app_has_the_file_open() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.execute_batch("UPDATE feed SET cursor = 42").unwrap();
    for (title, query) in questions() {
        let output = Command::new("sqlite3")
            .args(["-bail", "-readonly"])
            .arg(&fixture.database)
            .arg(query)
            .output();
        let Ok(output) = output else {
            eprintln!("no sqlite3 shell here: not seen whether it takes {title}");
            continue;
        };
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{title} {output:?}"
        );
    }
}
