//! The files of the page, compiled in.

/// A file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:expr) => {
        Asset {
            path: concat!("/", $path),
            kind: $kind,
            text: include_str!(concat!("page/", $path)),
        }
    };
}

/// What stands at `/`.
pub(super) const INDEX: Asset = asset!("index.html", "text/html; charset=utf-8");

/// What it loads.
pub(super) const ASSETS: &[Asset] = &[
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("picture.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("app.js", SCRIPT),
    asset!("server.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("words.js", SCRIPT),
    asset!("calls.js", SCRIPT),
    asset!("call.js", SCRIPT),
    asset!("lanes.js", SCRIPT),
    asset!("axis.js", SCRIPT),
    asset!("picture.js", SCRIPT),
    asset!("why.js", SCRIPT),
    asset!("pending.js", SCRIPT),
    asset!("health.js", SCRIPT),
    asset!("tables.js", SCRIPT),
    asset!("sql.js", SCRIPT),
];
