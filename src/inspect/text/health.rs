//! Figures, findings and what is followed, as text for people.

use super::super::doctor::{Checkup, Severity};
use super::super::model::Entry;
use super::super::stats::{LastError, Stats};
use super::super::table::{Column, Style, Tone, cut_to, fixed, flexible, pairs, printable};
use super::{detail, iso, or_none, section};

/// How much there is.
pub fn stats(stats: &Stats, style: Style) -> String {
    const ERROR_COLUMNS: [Column; 5] = [
        fixed("AT"),
        fixed("COMMAND"),
        fixed("CALL"),
        fixed("VERDICT"),
        flexible("ERROR"),
    ];
    let mut out = pairs(&lines(stats));
    let rows: Vec<_> = stats.last_errors.iter().map(error_row).collect();
    section(&mut out, "Last errors", &ERROR_COLUMNS, &rows, style);
    out
}

fn lines(stats: &Stats) -> Vec<(&'static str, String)> {
    let file = &stats.file;
    let started = format!(
        "{} ({} go on, {} missed and unseen)",
        count(stats.calls),
        count(stats.started),
        count(stats.missed_unseen)
    );
    let commands = format!(
        "{} ({} pending, {} refused)",
        count(stats.commands),
        count(stats.pending),
        count(stats.refused)
    );
    let offset = match stats.clock.offset_ms {
        None => "not known".to_owned(),
        Some(offset) if offset < 0 => format!("{} ms behind this device's", offset.unsigned_abs()),
        Some(offset) => format!("{offset} ms ahead of this device's"),
    };
    let lag = match stats.lag.changes {
        0 => "nothing learned yet".to_owned(),
        changes => format!(
            "{} ms at the last change, {} ms at most of the last {changes}",
            stats.lag.last_ms, stats.lag.worst_ms
        ),
    };
    let heard = match stats.feed.heard_at_ms {
        0 => "never".to_owned(),
        at_ms => iso(at_ms),
    };
    let mut lines = vec![
        ("user", or_none(Some(&stats.user_id))),
        ("device", or_none(Some(&stats.device_id))),
        ("layout", format!("version {}", file.schema)),
        ("file", format!("{} bytes", file.bytes)),
        ("free in it", format!("{} bytes", file.free_bytes)),
        ("write-ahead log", format!("{} bytes", file.wal_bytes)),
        ("calls", started),
        ("members", count(stats.members)),
        ("ringing here", count(stats.ringing)),
        ("commands", commands),
        ("changes", count(stats.changes)),
        ("journal", format!("{} events", count(stats.journal))),
    ];
    for reader in &stats.readers {
        let text = format!("{}: {} unread", reader.reader, reader.unread);
        lines.push(("journal reader", text));
    }
    lines.extend([
        ("server heard", heard),
        (
            "cursor",
            format!("{} of epoch {}", stats.feed.cursor, stats.feed.epoch),
        ),
        ("server's clock", offset),
        ("learned late by", lag),
    ]);
    if let Some(lease) = &stats.lease {
        let text = match lease.generation {
            0 => "nobody yet".to_owned(),
            generation => format!(
                "{} since {}, generation {generation}",
                lease.holder,
                iso(lease.taken_at_ms)
            ),
        };
        lines.push(("syncs", text));
    }
    lines
}

fn count(count: Option<i64>) -> String {
    count.map_or_else(|| "?".to_owned(), |count| count.to_string())
}

fn error_row(error: &LastError) -> [String; 5] {
    let verdict = match (error.verdict.as_deref(), error.code) {
        (None, _) => "pending".to_owned(),
        (Some(verdict), 0) => verdict.to_owned(),
        (Some(verdict), code) => format!("{verdict} {code}"),
    };
    [
        iso(error.at_ms),
        error.command.clone(),
        error.call_id.clone(),
        verdict,
        or_none(Some(&error.error)),
    ]
}

/// What was found wrong.
pub fn checkup(checkup: &Checkup, style: Style) -> String {
    if checkup.findings.is_empty() {
        return "nothing wrong was found\n".to_owned();
    }
    let mut out = String::new();
    for finding in &checkup.findings {
        let word = match finding.severity {
            Severity::Error => style.tone("error", Tone::Bad),
            Severity::Warning => style.tone("warning", Tone::Doubtful),
        };
        let text = printable(&finding.text);
        let advice = printable(&finding.advice);
        out.push_str(&format!("{word} {}: {text}.\n", finding.code));
        out.push_str(&format!("    {advice}.\n"));
    }
    let errors = checkup.errors();
    let warnings = checkup.findings.len() - errors;
    out.push_str(&format!(
        "\n{}, {}\n",
        plural(errors, "error"),
        plural(warnings, "warning")
    ));
    out
}

fn plural(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    }
}

/// Something that happened, in a line.
pub fn entry(entry: &Entry, style: Style) -> String {
    let cells = [
        format!("{:<24}", iso(entry.at_ms)),
        format!("{:<6}", entry.source),
        format!("{:<24}", printable(&entry.what)),
        printable(&or_none(Some(&entry.who))),
        printable(&or_none(Some(&entry.call_id))),
        printable(&or_none(Some(&entry.device))),
        printable(&detail(entry)),
    ];
    let line = cells.join("  ");
    let mut line = cut_to(line.trim_end(), style.width);
    line.push('\n');
    line
}
