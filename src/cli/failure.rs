//! How a subcommand fails: one line for the person at the terminal.

use std::fmt;

/// Why a subcommand could not do its work, and what to do about it, in one line.
///
/// `main` prints it on stderr after `offhook: ` and leaves with exit code 1. Wrong usage is not a
/// `Failure`: clap answers that, with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line. It never holds a line break, so that whoever reads stderr line by line gets it whole.
    pub message: String,
}

impl Failure {
    /// Makes a failure of `what`; line breaks and the blanks around them become one space.
    pub fn new(what: impl fmt::Display) -> Self {
        let text = what.to_string();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        Self {
            message: lines.join(" "),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        assert_eq!(
            Failure::new("cannot read x:\n\n   no such file\r\n").message,
            "cannot read x: no such file"
        );
    }
}
