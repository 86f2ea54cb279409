//! Keys of a configuration written with dots, such as `environment.settings.n`, in a TOML table.
use std::collections::BTreeMap;

use toml::{Table, Value};

/// The value of `key`.
pub(super) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (mut parents, last) = split(key);
    parents.try_fold(table, |table, name| table.get(name)?.as_table())?.get(last)
}

/// Sets `key`, and makes the tables on the way to it.
///
/// # Errors
/// A part of `key` is not a table.
pub(super) fn set(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let (mut parents, last) = split(key);
    let inside = parents.try_fold(table, |table, name| {
        table.entry(name).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
    });
    let inside = inside.ok_or_else(|| format!("`{key}`: a part of this key is not a table"))?;
    inside.insert(last.to_owned(), value);
    Ok(())
}

/// Removes `key` if it is there.
pub(super) fn unset(table: &mut Table, key: &str) {
    let (mut parents, last) = split(key);
    if let Some(inside) = parents.try_fold(table, |table, name| table.get_mut(name)?.as_table_mut()) {
        inside.remove(last);
    }
}

/// Replaces values of `table` by those of `changes`. Tables are merged, but arrays are replaced.
pub(super) fn merge(table: &mut Table, changes: &Table) {
    for (name, change) in changes {
        match (table.get_mut(name), change) {
            (Some(Value::Table(own)), Value::Table(changes)) => merge(own, changes),
            _ => {
                table.insert(name.clone(), change.clone());
            }
        }
    }
}

/// Multiplies numbers of `table`, or their defaults if it does not have them. Whole numbers are rounded up.
///
/// # Errors
/// A key without a number, or a factor that is not above 0.
pub(super) fn multiply(
    table: &mut Table,
    factors: &BTreeMap<String, f64>,
    defaults: &Table,
) -> Result<(), String> {
    for (key, &factor) in factors {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(format!("`multiply.{key}` is {factor}; expected a number above 0"));
        }
        let value = match get(table, key).or_else(|| get(defaults, key)) {
            Some(Value::Integer(value)) => Value::Integer((*value as f64 * factor).ceil() as i64),
            Some(Value::Float(value)) => Value::Float(value * factor),
            _ => return Err(format!("`multiply.{key}`: the configuration has no number there")),
        };
        set(table, key, value)?;
    }
    Ok(())
}

/// A single value as text; `None` for tables and arrays.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Refuses control characters: names and values reach the terminal.
///
/// # Errors
/// Says which text has a control character.
pub(super) fn check_printable(value: &Value) -> Result<(), String> {
    let check = |text: &str| match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        None => Ok(()),
        Some(control) => Err(format!("{text:?} has the control character {control:?}")),
    };
    match value {
        Value::String(text) => check(text),
        Value::Array(values) => values.iter().try_for_each(check_printable),
        Value::Table(table) => table.iter().try_for_each(|(name, value)| {
            check(name)?;
            check_printable(value)
        }),
        _ => Ok(()),
    }
}

/// Splits a key into the names of the tables on the way and the last name.
fn split(key: &str) -> (impl Iterator<Item = &str>, &str) {
    let (parents, last) = key.rsplit_once('.').unwrap_or(("", key));
    (parents.split('.').filter(|name| !name.is_empty()), last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn are_set_merged_multiplied_and_removed() {
        let mut config = table("seed = 1\n[environment]\nsteps = 5\n[environment.settings]\nn = 2");
        set(&mut config, "ppo.gamma", Value::Float(0.9)).unwrap();
        merge(&mut config, &table("[environment]\nenvs = 4\nsettings = { m = 1 }"));
        let factors = [("environment.steps".to_owned(), 0.5), ("ppo.lambda".to_owned(), 0.5)].into();
        multiply(&mut config, &factors, &table("ppo = { lambda = 0.5 }")).unwrap();
        unset(&mut config, "environment.envs");
        unset(&mut config, "dataset.k");
        let expected = "seed = 1\nppo = { gamma = 0.9, lambda = 0.25 }\n\
                        [environment]\nsteps = 3\nsettings = { n = 2, m = 1 }";
        assert_eq!(config, table(expected));
        assert_eq!(get(&config, "environment.settings.n").and_then(text), Some("2".into()));
        assert!(get(&config, "seed.n").is_none());
        assert!(set(&mut config, "seed.n", Value::Integer(1)).unwrap_err().contains("is not a table"));
        for (key, factor, expected) in [("ppo", 2.0, "no number"), ("seed", 0.0, "expected a number above 0")]
        {
            let error = multiply(&mut config, &[(key.to_owned(), factor)].into(), &Table::new()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        check_printable(&Value::Table(table("a = 'π, a tab\t'"))).unwrap();
        for text in ["a = \"\\u001b[2J\"", "\"\\u0007\" = 1", "a = [{ b = \"\\u009b\" }]"] {
            let error = check_printable(&Value::Table(table(text))).unwrap_err();
            assert!(error.contains("control character") && !error.contains('\u{1b}'), "{error}");
        }
    }
}
