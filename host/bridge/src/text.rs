//! Makes text from plugins safe for terminals and logs.

/// Replaces control characters other than newlines, and cuts `message` off after `longest` characters.
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

/// The most characters of a plugin's error or log message that reach the user.
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
