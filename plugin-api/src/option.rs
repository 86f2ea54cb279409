use serde::{Deserialize, Serialize};

/// What a plugin's option holds, with its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OptionKind {
    /// A whole number in `min..=max`.
    Integer {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
    },
    /// A finite number in `min..=max`.
    Number {
        /// Smallest accepted value.
        min: f64,
        /// Largest accepted value.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// Any text, or one of `choices` when there are some.
    Text {
        /// The accepted texts; empty for any.
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

/// One option a plugin accepts (`--set NAME=VALUE`), checked by the host before the plugin sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionSchema {
    /// The option's name, e.g. `n`.
    pub name: String,
    /// One sentence for `--help`.
    pub help: String,
    /// Type and limits.
    #[serde(flatten)]
    pub kind: OptionKind,
    /// The value when nothing is set.
    pub default: OptionValue,
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
    /// Says what was expected: the type, the range or the choices.
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
