//! Text that plugins wrote, made fit for terminals and logs.

/// What a plugin wrote, fit for a terminal and a log: no control characters, and not without end.
pub fn tame(message: &str, longest: usize) -> String {
    let mut tamed: String = message
        .chars()
        .take(longest)
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect();
    if message.chars().nth(longest).is_some() {
        tamed.push('…');
    }
    tamed
}

/// Characters of a plugin's error or log message that reach the user.
pub const LONGEST_MESSAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_escapes_and_cuts() {
        assert_eq!(tame("a\u{1b}[31mb\nc", 99), "a\u{fffd}[31mb\nc");
        assert_eq!(tame("äöü", 2), "äö…");
        assert_eq!(tame("äö", 2), "äö");
    }
}
