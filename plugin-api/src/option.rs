//! The options of plugins: their schemas, and reading and checking their values.
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// The type of a plugin's option, with its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OptionKind {
    /// A whole number in `min..=max`.
    Integer {
        /// The smallest accepted value.
        min: i64,
        /// The largest accepted value.
        max: i64,
    },
    /// A finite number in `min..=max`.
    Number {
        /// The smallest accepted value.
        min: f64,
        /// The largest accepted value.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of `choices`, or any text if there are none.
    Text {
        /// The accepted texts, or none to accept any text.
        choices: Vec<String>,
    },
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
}

/// One option that a plugin accepts (`--set NAME=VALUE`). The host checks a value before the plugin sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionSchema {
    /// The option's name, such as `n`.
    pub name: String,
    /// A description in one sentence, for `--help`.
    pub help: String,
    /// The type and its limits.
    #[serde(flatten)]
    pub kind: OptionKind,
    /// The value if the user sets none.
    pub default: OptionValue,
}

impl OptionSchema {
    fn new(name: &str, help: &str, kind: OptionKind, default: OptionValue) -> Self {
        OptionSchema { name: name.into(), help: help.into(), kind, default }
    }

    /// Makes an option for a whole number in `range`.
    pub fn integer(name: &str, help: &str, range: RangeInclusive<i64>, default: i64) -> Self {
        let kind = OptionKind::Integer { min: *range.start(), max: *range.end() };
        Self::new(name, help, kind, default.into())
    }

    /// Makes an option for a number in `range`.
    pub fn number(name: &str, help: &str, range: RangeInclusive<f64>, default: f64) -> Self {
        let kind = OptionKind::Number { min: *range.start(), max: *range.end() };
        Self::new(name, help, kind, default.into())
    }

    /// Makes an option that is `true` or `false`.
    pub fn boolean(name: &str, help: &str, default: bool) -> Self {
        Self::new(name, help, OptionKind::Boolean, default.into())
    }

    /// Makes an option for one of `choices`, or for any text if there are none.
    pub fn text(name: &str, help: &str, choices: &[&str], default: &str) -> Self {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Self::new(name, help, OptionKind::Text { choices }, default.into())
    }
}

impl From<i64> for OptionValue {
    fn from(value: i64) -> Self {
        OptionValue::Integer(value)
    }
}

impl From<f64> for OptionValue {
    fn from(value: f64) -> Self {
        OptionValue::Number(value)
    }
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> Self {
        OptionValue::Boolean(value)
    }
}

impl From<&str> for OptionValue {
    fn from(value: &str) -> Self {
        OptionValue::Text(value.to_owned())
    }
}

impl std::fmt::Display for OptionValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OptionValue::Boolean(v) => write!(f, "{v}"),
            OptionValue::Integer(v) => write!(f, "{v}"),
            OptionValue::Number(v) => write!(f, "{v}"),
            OptionValue::Text(v) => write!(f, "{v}"),
        }
    }
}

impl OptionSchema {
    /// Reads `text` as a value of this option.
    ///
    /// # Errors
    /// Fails if `text` is not such a value. The message says what was expected: the type, the range or the choices.
    pub fn parse(&self, text: &str) -> Result<OptionValue, String> {
        let expected = |what: String| format!("option `{}`: expected {what}, got `{text}`", self.name);
        match &self.kind {
            OptionKind::Integer { min, max } => match text.parse::<i64>() {
                Ok(v) if (*min..=*max).contains(&v) => Ok(OptionValue::Integer(v)),
                _ => Err(expected(format!("a whole number from {min} to {max}"))),
            },
            OptionKind::Number { min, max } => match text.parse::<f64>() {
                Ok(v) if v.is_finite() && (*min..=*max).contains(&v) => Ok(OptionValue::Number(v)),
                _ => Err(expected(format!("a number from {min} to {max}"))),
            },
            OptionKind::Boolean => match text {
                "true" => Ok(OptionValue::Boolean(true)),
                "false" => Ok(OptionValue::Boolean(false)),
                _ => Err(expected("true or false".into())),
            },
            OptionKind::Text { choices } if choices.is_empty() || choices.iter().any(|c| c == text) => {
                Ok(OptionValue::Text(text.to_owned()))
            }
            OptionKind::Text { choices } => Err(expected(format!("one of {}", choices.join(", ")))),
        }
    }
}

impl OptionSchema {
    /// Returns whether `value` has the option's type and is within its limits.
    pub fn accepts(&self, value: &OptionValue) -> bool {
        match (&self.kind, value) {
            (OptionKind::Integer { min, max }, OptionValue::Integer(v)) => (min..=max).contains(&v),
            (OptionKind::Number { min, max }, OptionValue::Number(v)) => {
                v.is_finite() && (min..=max).contains(&v)
            }
            (OptionKind::Boolean, OptionValue::Boolean(_)) => true,
            (OptionKind::Text { choices }, OptionValue::Text(v)) => choices.is_empty() || choices.contains(v),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_kind() -> impl Strategy<Value = OptionKind> {
        prop_oneof![
            (-9i64..9, -9i64..9).prop_map(|(min, max)| OptionKind::Integer { min, max }),
            (-9.0f64..9.0, -9.0f64..9.0).prop_map(|(min, max)| OptionKind::Number { min, max }),
            Just(OptionKind::Boolean),
            prop::collection::vec("[a-z]{1,2}", 0..3).prop_map(|choices| OptionKind::Text { choices }),
        ]
    }

    proptest! {
        #[test]
        fn what_parses_is_accepted_and_prints_to_itself(kind in any_kind(), text in "-?[0-9]{1,2}(\\.[0-9])?|true|false|NaN|inf|.{0,4}") {
            let schema = OptionSchema { name: "x".into(), help: String::new(), kind, default: OptionValue::Boolean(true) };
            match schema.parse(&text) {
                Ok(value) => {
                    prop_assert!(schema.accepts(&value));
                    prop_assert_eq!(schema.parse(&value.to_string()).unwrap(), value);
                }
                Err(message) => prop_assert!(message.contains("option `x`: expected ")),
            }
        }
    }
}
