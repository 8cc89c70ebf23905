use super::list::{MEMBERS_USER, page};
use super::{Filter, Snapshot, StateFilter};
use rusqlite::{Connection, params_from_iter};

/// The schema up to a version.
fn database(version: usize) -> Connection {
    let steps = [
        include_str!("../../../schema/client/0001_initial.sql"),
        include_str!("../../../schema/client/0002_lease.sql"),
        include_str!("../../../schema/client/0003_lists.sql"),
    ];
    let connection = Connection::open_in_memory().unwrap();
    for step in &steps[..version] {
        connection.execute_batch(step).unwrap();
    }
    connection
}

fn has_index(connection: &Connection) -> bool {
    Snapshot::of(connection, 0).has_members_user().unwrap()
}

/// What SQLite is to do for the page, step by step.
fn plan(connection: &Connection, filter: &Filter) -> Vec<String> {
    let (rest, mut values) = page(filter, i64::MAX, has_index(connection));
    values.push(20.into());
    let question = format!("EXPLAIN QUERY PLAN SELECT call_id FROM calls {rest}");
    let mut statement = connection.prepare(&question).unwrap();
    let steps = statement.query_map(params_from_iter(values), |row| row.get(3));
    steps.unwrap().map(Result::unwrap).collect()
}

#[test]
fn calls_with_somebody_are_found_along_the_index_whatever_else_is_asked() {
    let connection = database(3);
    for state in [None, Some(StateFilter::Started), Some(StateFilter::Ended)] {
        for missed in [false, true] {
            for since_ms in [None, Some(5)] {
                for search in [None, Some("x".to_owned())] {
                    let filter = Filter {
                        state,
                        missed,
                        with: Some("bob".to_owned()),
                        since_ms,
                        search,
                        ..Filter::default()
                    };
                    let plan = plan(&connection, &filter);
                    let along = "SEARCH members USING COVERING INDEX members_user (user_id=? AND ";
                    assert!(plan[0].starts_with(along), "{filter:?}: {plan:#?}");
                    assert!(
                        !plan.iter().any(|step| step.contains("TEMP B-TREE")),
                        "{filter:?}: {plan:#?}"
                    );
                }
            }
        }
    }
}

#[test]
fn only_an_index_that_is_made_as_ours_counts_as_it() {
    assert!(!has_index(&database(1)));
    assert!(!has_index(&database(2)));
    assert!(has_index(&database(3)));
    let other = database(2);
    let partial = format!("{MEMBERS_USER} WHERE user_id > 'b'");
    other.execute_batch(&partial).unwrap();
    assert!(!has_index(&other));
}
