use crate::call::{CallState, DeviceId, UserId};
use crate::client::store::{ByHand, Store};

use super::Filter;

/// Every filter there is, with whether somebody is looked for.
fn filters() -> Vec<Filter> {
    let states = [None, Some(CallState::Started), Some(CallState::Ended)];
    let mut filters = Vec::new();
    for state in states {
        for missed in [None, Some(true), Some(false)] {
            for with in [None, Some("me"), Some("bob")] {
                for since in [None, Some(1_000)] {
                    filters.push(Filter {
                        state,
                        missed,
                        with: with.map(UserId::trusted),
                        since,
                    });
                }
            }
        }
    }
    filters
}

/// What SQLite is to do for the page, step by step.
fn plan(sql: &ByHand, filter: &Filter) -> Vec<String> {
    let question = filter.question(&UserId::trusted("me"));
    let mut statement = sql
        .prepare(&format!("EXPLAIN QUERY PLAN {question}"))
        .unwrap();
    let steps = statement.raw_query();
    steps.mapped(|row| row.get(3)).map(Result::unwrap).collect()
}

#[test]
fn no_page_of_any_filter_sorts_or_begins_anywhere_but_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("me.db");
    drop(Store::open(&path, &UserId::trusted("me"), &DeviceId::trusted("phone")).unwrap());
    let sql = ByHand::open(&path).unwrap();
    for filter in filters() {
        let plan = plan(&sql, &filter);
        let place = if filter.is_by_user(&UserId::trusted("me")) {
            "members USING COVERING INDEX members_user (user_id=? AND sort_key>? AND sort_key<?)"
        } else if filter.index() == "NOT INDEXED" {
            "calls USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
        } else {
            "(sort_key>? AND sort_key<?)"
        };
        assert!(plan[0].starts_with("SEARCH"), "{filter:?}: {plan:#?}");
        assert!(plan[0].ends_with(place), "{filter:?}: {plan:#?}");
        assert!(
            !plan.iter().any(|step| step.contains("TEMP B-TREE")),
            "{filter:?}: {plan:#?}"
        );
    }
}
