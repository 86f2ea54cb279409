//! Makes text from plugins and files safe for terminals and logs.

/// Whether `c` is a control character, or one that hides, reorders or breaks the text around it: a terminal would obey
/// it and not show it. Newlines are among them.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            // Zero width, and the marks of direction; line and paragraph separators; embeddings and overrides.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            // Invisible operators and isolates; annotations; tags.
            | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Replaces hidden characters other than newlines by `�`, and tabs by a space. Cuts `message` off after `longest`
/// characters.
pub fn tame(message: &str, longest: usize) -> String {
    let mut tamed: String = message.chars().take(longest).map(shown).collect();
    if message.chars().nth(longest).is_some() {
        tamed.push('…');
    }
    tamed
}

fn shown(c: char) -> char {
    match c {
        '\n' => c,
        '\t' => ' ',
        c if is_hidden(c) => '\u{fffd}',
        c => c,
    }
}

/// `1 learner`, `2 learners`: a number with what it counts.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The most characters of a plugin's error or log message that reach the user.
pub const LONGEST_MESSAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_escapes_and_cuts() {
        assert_eq!(tame("a\u{1b}[31mb\nc\td", 99), "a\u{fffd}[31mb\nc d");
        assert_eq!(tame("a\u{202e}b\u{200b}\u{9b}31m\u{7f}", 99), "a\u{fffd}b\u{fffd}\u{fffd}31m\u{fffd}");
        assert_eq!(tame("äöü", 2), "äö…");
        assert_eq!(tame("äö", 2), "äö");
        let plain = "naïve Ω ± 3 × 10⁻⁵ → “γ” 漢字 🚀";
        assert_eq!(tame(plain, 99), plain);
    }
}
