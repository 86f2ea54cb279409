//! Shows the user what plugins log.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::terminal::tell;

/// The most messages of a plugin that a process shows, so that a run of days does not drown in them.
const MOST_MESSAGES: u32 = 100;

/// Prints a message of a plugin to standard error. `who` names it.
pub(super) fn show(who: &str, message: &str) {
    static SHOWN: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(line) = line(&mut shown, who, message) {
        tell(&line);
    }
}

fn line(shown: &mut BTreeMap<String, u32>, who: &str, message: &str) -> Option<String> {
    let count = shown.entry(who.to_owned()).or_default();
    *count = count.saturating_add(1);
    match *count {
        ..=MOST_MESSAGES => Some(format!("{who}: {message}")),
        n if n == MOST_MESSAGES + 1 => Some(format!("{who}: further messages are not shown")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_and_hides_no_other_plugin() {
        let mut shown = BTreeMap::new();
        let lines: Vec<String> = (0..300).filter_map(|_| line(&mut shown, "plugin `a`", "flood")).collect();
        assert_eq!(lines.len(), 101);
        assert_eq!(
            (&*lines[99], &*lines[100]),
            ("plugin `a`: flood", "plugin `a`: further messages are not shown")
        );
        assert_eq!(line(&mut shown, "plugin `b`", "warning").as_deref(), Some("plugin `b`: warning"));
    }
}
