//! A plugin's options: checks their declarations, and parses the user's settings.
use potstill_plugin_api::{OptionKind, OptionSchema, OptionValue};

use super::text::{LONGEST_MESSAGE, tame};
use potstill_engine::error::{Error, Result, did_you_mean};

const MOST_OPTIONS: usize = 256;
const MOST_CHOICES: usize = 256;

/// Parses the user's `NAME=VALUE` settings. Returns every option once, in the plugin's order; those that are not set
/// have their defaults.
///
/// # Errors
/// [`Error::Usage`]: a name is unknown (the message suggests the closest known one) or set twice, or a value is
/// invalid.
pub fn resolve(
    plugin: &str,
    options: &[OptionSchema],
    settings: &[(String, String)],
) -> Result<Vec<(String, OptionValue)>> {
    for (i, (name, _)) in settings.iter().enumerate() {
        if !options.iter().any(|option| option.name == *name) {
            let known = did_you_mean(name, options.iter().map(|option| option.name.as_str()));
            return Err(Error::usage(format!("plugin `{plugin}` has no option `{name}`.{known}")));
        }
        if settings[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(Error::usage(format!("option `{name}` of plugin `{plugin}` is set twice")));
        }
    }
    let value = |option: &OptionSchema| {
        let value = match settings.iter().find(|(name, _)| *name == option.name) {
            Some((_, text)) => {
                option.parse(text).map_err(|e| Error::usage(format!("plugin `{plugin}`: {e}")))?
            }
            None => option.default.clone(),
        };
        Ok((option.name.clone(), value))
    };
    options.iter().map(value).collect()
}

/// The options in the form that datasets and run directories record.
pub fn to_json(settings: &[(String, OptionValue)]) -> serde_json::Value {
    let value = |(name, value): &(String, OptionValue)| {
        (name.clone(), serde_json::to_value(value).unwrap_or_default())
    };
    settings.iter().map(value).collect::<serde_json::Map<_, _>>().into()
}

/// Checks the options that a plugin declares.
///
/// # Errors
/// Says which option breaks the contract, and how.
pub fn check_options(options: &[OptionSchema]) -> Result<(), String> {
    if options.len() > MOST_OPTIONS {
        return Err(format!("{} options, expected at most {MOST_OPTIONS}", options.len()));
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for (i, option) in options.iter().enumerate() {
        let name = option.name.as_str();
        if name.is_empty() || name.len() > 64 || !name.chars().all(word) {
            let expected = "1 to 64 lower-case letters, digits and `-`";
            return Err(format!("option {i} is called `{}`; expected {expected}", tame(name, 64)));
        }
        let choices = match &option.kind {
            OptionKind::Text { choices } => choices.as_slice(),
            _ => &[],
        };
        if choices.len() > MOST_CHOICES {
            return Err(format!(
                "option `{name}` has {} choices, expected at most {MOST_CHOICES}",
                choices.len()
            ));
        }
        let default = match &option.default {
            OptionValue::Text(text) => Some(text),
            _ => None,
        };
        for text in choices.iter().chain([&option.help]).chain(default) {
            if text.chars().nth(LONGEST_MESSAGE).is_some() || text.chars().any(char::is_control) {
                return Err(format!(
                    "option `{name}` has a help text, a choice or a default with control characters or of more than \
                     {LONGEST_MESSAGE} characters"
                ));
            }
        }
        if let OptionKind::Number { min, max } = option.kind
            && !(min.is_finite() && max.is_finite())
        {
            return Err(format!("option `{name}` ranges from {min} to {max}, expected finite limits"));
        }
        if options[..i].iter().any(|earlier| earlier.name == name) {
            return Err(format!("option `{name}` is declared twice"));
        }
        if !option.accepts(&option.default) {
            let default = tame(&option.default.to_string(), 64);
            return Err(format!("the default `{default}` of option `{name}` is not one of its values"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str, default: OptionValue) -> OptionSchema {
        OptionSchema {
            name: name.into(),
            help: "".into(),
            kind: OptionKind::Integer { min: 1, max: 9 },
            default,
        }
    }

    #[test]
    fn fills_in_defaults_and_says_what_is_wrong() {
        let options = [option("axes", 1i64.into()), option("seed", 2i64.into())];
        let set = |settings: &[(&str, &str)]| {
            let settings: Vec<_> = settings.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            resolve("p", &options, &settings).map_err(|e| e.to_string())
        };
        assert_eq!(
            set(&[("seed", "7")]).unwrap(),
            [("axes".into(), 1i64.into()), ("seed".into(), 7i64.into())]
        );
        assert_eq!(
            set(&[("axis", "7")]).unwrap_err(),
            "plugin `p` has no option `axis`. Did you mean `axes`?"
        );
        assert!(set(&[("axes", "1"), ("axes", "1")]).unwrap_err().contains("set twice"));
        assert!(
            set(&[("axes", "10")]).unwrap_err().contains("expected a whole number from 1 to 9, got `10`")
        );
    }

    #[test]
    fn refuses_options_that_break_the_contract() {
        check_options(&[option("a", 1i64.into())]).unwrap();
        let text = |default: &str| OptionSchema::text("a", "Any text.", &[], default);
        check_options(&[text(&"ä".repeat(1000))]).unwrap();
        for bad in [text(&"a".repeat(1001)), text("\u{1b}[31m")] {
            assert!(check_options(&[bad]).unwrap_err().contains("a default with control characters"));
        }
        for bad in [
            vec![option("", 1i64.into())],
            vec![option("A", 1i64.into())],
            vec![option("a", 0i64.into())],
            vec![option("a", true.into())],
            vec![option("a", 1i64.into()), option("a", 1i64.into())],
        ] {
            assert!(check_options(&bad).is_err(), "{bad:?}");
        }
    }
}
