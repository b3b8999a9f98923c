//! Whether a condition of a definition holds.

use serde_json::Value;

use crate::contract::route::Conditions;

/// Every property has the value, or one of the values, that it should have; `false` is also one that
/// is left out, and `true` one that is given, whatever it is.
pub(super) fn holds(conditions: &Conditions, config: &Value) -> bool {
    conditions.iter().all(|(name, wanted)| {
        let given = config.get(name).unwrap_or(&Value::Null);
        if let Some(any) = wanted.as_array() {
            return any.contains(given);
        }
        match wanted.as_bool() {
            Some(false) if given.is_null() => true,
            Some(true) if !given.is_boolean() => !given.is_null(),
            Some(_) | None => wanted == given,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_holds_for_the_values_that_it_names() {
        for (conditions, expected) in [
            (json!({}), true),
            (json!({"access": "read"}), true),
            (json!({"access": ["write", "read"]}), true),
            (json!({"all": false}), true),
            (json!({"access": "read", "count": 3}), true),
            (json!({"access": "write"}), false),
            (json!({"access": "Read"}), false),
            (json!({"access": []}), false),
            (json!({"all": true}), false),
            (json!({"count": true, "access": true}), true),
            (json!({"count": false}), false),
            (json!({"count": "3"}), false),
            (json!({"access": "read", "other": "x"}), false),
        ] {
            let parsed: Conditions = serde_json::from_value(conditions.clone()).unwrap();
            let config = json!({"access": "read", "count": 3});
            assert_eq!(holds(&parsed, &config), expected, "{conditions}");
        }
    }
}
