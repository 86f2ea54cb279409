//! Errors of TOML files in the words of those who write them.

/// The message of `error` with its place in the file. What was expected is said in a user's words, and not by the names
/// of Rust's types.
pub fn toml_error(error: &toml::de::Error) -> String {
    let (all, message) = (error.to_string(), error.message());
    let all = all.trim_end();
    let words = message.rsplit_once(", expected ").and_then(|(got, expected)| {
        let expected = match expected {
            "u64" | "u32" | "usize" => "a whole number of at least 0",
            "i64" | "i32" => "a whole number",
            "f64" | "f32" => "a number",
            "a boolean" => "true or false",
            "a string" | "path string" | "string or table" => "a text in quotes",
            "a map" => "a table",
            "a sequence" => "a list in brackets",
            "an array of length 2" => "two numbers in brackets",
            _ if expected.starts_with("struct ") => "a table",
            _ if expected.contains("untagged enum") => "a number, a text in quotes, true or false",
            _ => return None,
        };
        let got = match got.strip_prefix("invalid type: ").unwrap_or(got) {
            "sequence" => "a list".to_owned(),
            "map" => "a table".to_owned(),
            got => got.replacen("floating point", "number", 1).replacen("string", "text", 1),
        };
        Some(format!("{}expected {expected}, got {got}", all.strip_suffix(message)?))
    });
    words.unwrap_or_else(|| all.to_owned())
}
