//! Tables of text, as wide as the terminal or as they need to be.

use std::fmt::Write as _;

/// How text is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How many columns there are; `None`: as many as it takes.
    pub width: Option<usize>,
    /// Whether headings stand out.
    pub colour: bool,
}

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Bad,
    Doubtful,
}

impl Style {
    /// A word that says how something is meant.
    pub(super) fn tone(self, text: &str, tone: Tone) -> String {
        let colour = match tone {
            Tone::Bad => 31,
            Tone::Doubtful => 33,
        };
        if self.colour {
            format!("\u{1b}[1;{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A heading.
    pub(super) fn heading(self, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[1m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

const GAP: &str = "  ";
/// A column that may be cut keeps at least so much.
const FLEXIBLE_MIN: usize = 12;
/// Cells are filled up to at most so much. A longer one moves the rest of its own line only: else one
/// in a file of somebody's making would make every line as long.
const FILLED_MAX: usize = 200;

/// A column of a table.
pub(super) struct Column {
    pub heading: &'static str,
    /// May be cut where the terminal is too narrow. Never one that somebody wants to copy.
    pub flexible: bool,
}

/// A column that is never cut.
pub(super) const fn fixed(heading: &'static str) -> Column {
    Column {
        heading,
        flexible: false,
    }
}

/// A column that gives way.
pub(super) const fn flexible(heading: &'static str) -> Column {
    Column {
        heading,
        flexible: true,
    }
}

/// Lays out rows under their headings.
pub(super) fn table<const N: usize>(
    columns: &[Column; N],
    rows: &[[String; N]],
    style: Style,
) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| printable(cell)))
        .collect();
    let mut widths = columns.each_ref().map(|column| width(column.heading));
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell).min(FILLED_MAX));
        }
    }
    if let Some(available) = style.width {
        shrink(&mut widths, columns, available);
    }
    let cut = columns
        .each_ref()
        .map(|column| column.flexible && style.width.is_some());
    let headings = columns.each_ref().map(|column| column.heading.to_owned());
    let mut out = style.heading(&line(&headings, &widths, &cut));
    out.push('\n');
    for row in &rows {
        out.push_str(&line(row, &widths, &cut));
        out.push('\n');
    }
    out
}

/// Lays out names and values, one pair a line.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in pairs {
        let filler = " ".repeat(widest.saturating_sub(width(name)));
        let text = format!("{name}{filler}{GAP}{}", printable(value));
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

fn shrink<const N: usize>(widths: &mut [usize; N], columns: &[Column; N], available: usize) {
    let gaps = GAP.len() * N.saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > available {
        let widest = widths
            .iter_mut()
            .zip(columns)
            .filter(|(width, column)| column.flexible && **width > FLEXIBLE_MIN)
            .map(|(width, _)| width)
            .max();
        match widest {
            Some(width) => *width -= 1,
            // Better a line that wraps than one without what it is about.
            None => return,
        }
    }
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N], cut: &[bool; N]) -> String {
    let mut out = String::new();
    for ((cell, available), cut) in cells.iter().zip(widths).zip(cut) {
        let cell = if *cut {
            fitted(cell, *available)
        } else {
            cell.clone()
        };
        let filler = " ".repeat(available.saturating_sub(width(&cell)));
        out.push_str(&cell);
        out.push_str(&filler);
        out.push_str(GAP);
    }
    out.truncate(out.trim_end().len());
    out
}

/// A line of its own, where the terminal has an end.
pub(super) fn cut_to(text: &str, available: Option<usize>) -> String {
    match available {
        Some(available) => fitted(text, available),
        None => text.to_owned(),
    }
}

fn fitted(text: &str, available: usize) -> String {
    if width(text) <= available {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += character_width(character);
        if used >= available {
            break;
        }
        out.push(character);
    }
    out.push('…');
    out
}

/// Text without anything that could move the cursor, break the table or command the terminal:
/// much of what is shown came from other users.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let code = u32::from(character);
        let turns_direction = matches!(code, 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
        if character == '\n' {
            out.push_str("\\n");
        } else if character.is_control() || turns_direction {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{{{code:x}}}");
        } else {
            out.push(character);
        }
    }
    out
}

fn width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

/// The writing systems of East Asia, and pictures, take two columns a character.
fn character_width(character: char) -> usize {
    match u32::from(character) {
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [fixed("ID"), flexible("TEXT"), fixed("N")];

    fn row(id: &str, text: &str, n: &str) -> [String; 3] {
        [id.to_owned(), text.to_owned(), n.to_owned()]
    }

    #[test]
    fn columns_are_as_wide_as_they_need_and_lines_end_without_blanks() {
        let rows = [row("a", "通话", ""), row("bcd", "x", "12")];
        assert_eq!(
            table(&COLUMNS, &rows, Style::default()),
            "ID   TEXT  N\na    通话\nbcd  x     12\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_what_may_be_cut_and_nothing_else() {
        let rows = [row("0123456789", "the quick brown fox jumps", "7")];
        let style = Style {
            width: Some(30),
            colour: false,
        };
        let text = table(&COLUMNS, &rows, style);
        assert!(text.ends_with("0123456789  the quick brow…  7\n"), "{text}");
        let style = Style {
            width: Some(5),
            colour: false,
        };
        let text = table(&COLUMNS, &rows, style);
        assert!(text.ends_with("0123456789  the quick b…  7\n"), "{text}");
    }

    #[test]
    fn a_cell_that_is_far_too_long_is_whole_and_makes_no_other_line_longer() {
        let long = "x".repeat(100_000);
        let rows = [row(&long, "a", "1"), row("b", "c", "2")];
        let text = table(&COLUMNS, &rows, Style::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("{long}  a     1"));
        assert!(lines[2].len() < 300, "{}", lines[2].len());
    }

    #[test]
    fn what_others_sent_cannot_command_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\n\u{202e}"),
            "a\\u{1b}[2Jb\\u{d}\\n\\u{202e}"
        );
    }
}
