//! The one place where the program prints.
//!
//! What is printed may quote plugins and files of others, so nothing is trusted here: hidden characters are replaced, one
//! line stays one line, and the further lines of a message are indented, so that no text can pose as a line of the
//! program's own. On a terminal, lines are broken between words.
use std::borrow::Cow;
use std::io::{self, BufRead, Write};

use terminal_size::{Height, Width, terminal_size_of};

use crate::error::{Error, IoContext, Result};
use crate::plugin::text::{is_hidden, tame};

/// The most characters of a message or a line. The middle of a longer one is left out.
const LONGEST: usize = 8000;
/// Where a line goes on that is too wide for the terminal, or that would be indented by more than half of it.
const HANG: usize = 4;
/// A terminal with fewer columns than this is taken to have as many.
const NARROWEST: usize = 20;
/// The indentation of a message's further lines.
const INDENT: usize = 2;
/// Shown in place of a newline within a line.
const NEWLINE: &str = "⏎";

/// Prints one line to standard output. A closed pipe (`| head`) ends the program quietly.
pub(crate) fn say(line: &str) -> Result<()> {
    say_lines(&line.replace('\n', NEWLINE), HANG)
}

/// Prints one line of two cells. The second goes on below its start where the terminal is too narrow for it.
pub(crate) fn say_row(first: &str, second: &str) -> Result<()> {
    say_below(&format!("{first}  "), &second.replace('\n', NEWLINE))
}

/// Prints one line of a name, padded to at least `width`, and a value.
pub(crate) fn say_named(name: &str, width: usize, value: &str) -> Result<()> {
    say_below(&format!("{name:width$} "), &value.replace('\n', NEWLINE))
}

/// Prints text of several lines behind `start`; its further lines are indented as much.
pub(crate) fn say_below(start: &str, text: &str) -> Result<()> {
    let start = start.replace('\n', NEWLINE);
    say_lines(&format!("{start}{text}"), start.chars().count())
}

fn say_lines(text: &str, hang: usize) -> Result<()> {
    let lines = laid_out(text, hang, columns(terminal_size_of(io::stdout())));
    print_bytes(format!("{lines}\n").as_bytes())
}

/// Prints a message to standard error. A closed pipe (`2>&1 | head`) is ignored: the work goes on.
pub(crate) fn tell(message: &str) {
    let lines = laid_out(message, INDENT, stderr_columns());
    let _ = io::stderr().write_all(format!("{lines}\n").as_bytes());
}

/// Prints a command for the user to copy, behind a name. It is not broken: a newline would end it in a shell.
pub(crate) fn say_command(name: &str, command: &str) -> Result<()> {
    let line = tame(&format!("{name:8} {}", command.replace('\n', NEWLINE)), LONGEST);
    print_bytes(format!("{line}\n").as_bytes())
}

/// Asks a question on standard error and reads the answer from standard input: whether it is yes.
pub(crate) fn confirmed(question: &str) -> Result<bool> {
    let line = tame(&format!("{} [y/N] ", question.replace('\n', NEWLINE)), LONGEST);
    let _ = io::stderr().write_all(line.as_bytes());
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).at("standard input")?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Prints `value` as JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::usage(format!("JSON: {e}")))?;
    print_bytes(format!("{}\n", escaped(&text)).as_bytes())
}

/// Draws `text` from the top left corner, over the picture before, or with `clear` on an empty screen. What does not
/// fit on the screen is left out.
pub(crate) fn draw(text: &str, clear: bool) -> Result<()> {
    let size = terminal_size_of(io::stdout());
    let (width, height) = size.map_or((80, 24), |(Width(w), Height(h))| (w.into(), h.into()));
    let mut screen = String::from(if clear { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    // The last row stays empty: a newline there would scroll.
    for line in text.lines().take(usize::max(height, 2) - 1) {
        let line: String = tame(line, usize::MAX).chars().take(width).collect();
        screen += &format!("{line}\x1b[K\n");
    }
    print_bytes(format!("{screen}\x1b[J").as_bytes())
}

/// Writes `bytes` to standard output as they are. A closed pipe ends the program quietly.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout();
    printed(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints what clap answers: the help, the version, or why it refuses the command line, whose arguments it quotes.
pub(crate) fn print_answer(answer: &clap::Error) -> Result<()> {
    let text = answer.render().to_string();
    if answer.use_stderr() {
        let forged = std::env::args_os().any(|argument| argument.to_string_lossy().contains(is_hidden));
        match forged || text.chars().nth(LONGEST).is_some() {
            true => tell(text.trim_end()),
            // With colors, where the terminal has them.
            false => drop(answer.print()),
        }
        return Ok(());
    }
    printed(answer.print().and_then(|()| io::stdout().flush()))
}

fn printed(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(source) => Err(Error::Io { path: "standard output".into(), source }),
        Ok(()) => Ok(()),
    }
}

fn columns(size: Option<(Width, Height)>) -> Option<usize> {
    size.map(|(Width(columns), _)| columns.into())
}

/// The number of columns of the terminal that standard error is; `None` if it is none.
pub(crate) fn stderr_columns() -> Option<usize> {
    columns(terminal_size_of(io::stderr()))
}

/// `text` as lines that are safe to print. Those after the first are indented by `hang`, and so are the rests of lines
/// that are broken because the terminal has only so many `columns`.
fn laid_out(text: &str, hang: usize, columns: Option<usize>) -> String {
    let mut out = String::new();
    for (number, line) in abridged(text).lines().enumerate() {
        let indent = if number == 0 { 0 } else { hang };
        out += if number == 0 { "" } else { "\n" };
        let line = format!("{:indent$}{}", "", tame(line, usize::MAX));
        match columns {
            Some(columns) => out += &broken(&line, columns, hang),
            None => out += line.trim_end(),
        }
    }
    out
}

/// `text` without its middle if it is longer than [`LONGEST`]. Its end stays because it says what to do.
fn abridged(text: &str) -> Cow<'_, str> {
    let (head, tail) = (LONGEST * 3 / 4, LONGEST / 4);
    if text.chars().nth(LONGEST).is_none() {
        return text.into();
    }
    let place = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let count = text.chars().count();
    let (before, after) = (&text[..place(head)], &text[place(count - tail)..]);
    format!("{before} … {} characters left out … {after}", count - head - tail).into()
}

/// Breaks `line` at spaces into lines of at most `columns` characters, of which all but the first are indented by `hang`.
/// Where this leaves too little room, what begins at `hang` goes on a line of its own.
fn broken(line: &str, columns: usize, hang: usize) -> String {
    let (line, columns) = (line.trim_end(), columns.max(NARROWEST));
    let start = line.char_indices().nth(hang).map_or(line.len(), |(at, _)| at);
    if hang <= columns / 2 || line.chars().count() <= columns || start == line.len() {
        return filled(line, columns, if hang > columns / 2 { HANG } else { hang });
    }
    let (first, second) = line.split_at(start);
    let second = filled(&format!("{:HANG$}{second}", ""), columns, HANG);
    match first.trim_end() {
        "" => second,
        first => format!("{}\n{second}", filled(first, columns, HANG)),
    }
}

/// As [`broken`], whatever room is left. A word that is too long for a line, such as a path, stays whole.
fn filled(line: &str, columns: usize, hang: usize) -> String {
    let (mut out, mut rest, mut room) = (String::new(), line, columns);
    while let Some((end, _)) = rest.char_indices().nth(room) {
        let text = rest.len() - rest.trim_start().len();
        let spaces = rest[text..].match_indices(' ').map(|(at, _)| text + at);
        let (fit, beyond): (Vec<usize>, Vec<usize>) = spaces.partition(|at| *at <= end);
        let Some(at) = fit.last().or(beyond.first()) else { break };
        out += rest[..*at].trim_end();
        out += &format!("\n{:hang$}", "");
        rest = rest[*at..].trim_start();
        room = columns.saturating_sub(hang).max(1);
    }
    out + rest
}

/// JSON in which the hidden characters of texts are escaped too, which serde writes as they are beyond ASCII.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c != '\n' && is_hidden(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}")),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_poses_as_a_line_of_the_program() {
        let message = "error: a\nerror: b\r\n\x1b[2Jc\u{202e}";
        assert_eq!(laid_out(message, INDENT, None), "error: a\n  error: b\n  \u{fffd}[2Jc\u{fffd}");
        let long = format!("error: {}\ndo this", "x\n".repeat(3_000_000));
        let shown = laid_out(&long, INDENT, None);
        assert!(shown.len() < 4 * LONGEST && shown.ends_with("\n  do this"), "{}", shown.len());
        assert!(shown.contains(" characters left out … "));
        assert!(shown.lines().skip(1).all(|line| line.is_empty() || line.starts_with("  ")));
    }

    #[test]
    fn lines_break_between_words() {
        let row = "name         one two three four";
        assert_eq!(laid_out(row, 13, None), row);
        assert_eq!(laid_out(row, 13, Some(31)), row);
        assert_eq!(laid_out(row, 13, Some(30)), "name         one two three\n             four");
        // The indentation would leave too little room.
        assert_eq!(laid_out(row, 13, Some(20)), "name\n    one two three\n    four");
        let table = laid_out("a\nb one two three four", 13, Some(20));
        assert_eq!(table, "a\n    b one two three\n    four");
        let path = "/a/path/that/is/wider/than/the/terminal and more";
        let expected = "path\n  /a/path/that/is/wider/than/the/terminal\n  and more";
        assert_eq!(laid_out(&format!("path {path}"), 2, Some(20)), expected);
        assert_eq!(laid_out("  héllo wörld, héllo wörld", 4, Some(20)), "  héllo wörld, héllo\n    wörld");
        for columns in 1..40 {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&laid_out(row, 13, Some(columns))), words(row));
        }
    }

    #[test]
    fn json_says_the_same_without_hidden_characters() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}\nö";
        let json = escaped(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(json.chars().all(|c| c == '\n' || !is_hidden(c)), "{json}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
    }
}
