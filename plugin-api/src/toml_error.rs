//! Errors of TOML files in the words of those who write them.

/// The message of `error` with its place in the file. What was expected is said in a user's words, and not by the names
/// of Rust's types.
pub fn toml_error(error: &toml::de::Error) -> String {
    let (all, message) = (error.to_string(), error.message());
    let all = all.trim_end();
    match (all.strip_suffix(message), in_words(message)) {
        (Some(place), Some(words)) => format!("{place}{words}"),
        _ => all.to_owned(),
    }
}

fn in_words(message: &str) -> Option<String> {
    if message.contains("any variant of untagged enum") {
        return Some("expected a number, a text in quotes, true or false".into());
    }
    // A choice that is no text at all.
    if message == "wanted string or table" {
        return Some("expected a text in quotes".into());
    }
    let (got, expected) = message.rsplit_once(", expected ")?;
    let expected = match expected {
        "u64" | "u32" | "usize" => "a whole number of at least 0",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a map" => "a table",
        "a sequence" => "a list in brackets",
        "an array of length 2" => "two numbers in brackets",
        _ if expected.starts_with("struct ") => "a table",
        _ => return None,
    };
    let got = ["invalid type: ", "invalid value: "].iter().find_map(|start| got.strip_prefix(start));
    let got = match got {
        Some("sequence") => "a list",
        Some("map") => "a table",
        Some(value) => {
            let kinds = ["integer ", "floating point ", "boolean ", "string "];
            let value = kinds.iter().find_map(|kind| value.strip_prefix(kind)).unwrap_or(value);
            value.strip_suffix(" as i128").unwrap_or(value)
        }
        None => return Some(format!("expected {expected}")),
    };
    Some(format!("expected {expected}, got {got}"))
}
