//! Holds JSON lines against `docs/schema/results.schema.json`.
//!
//! A validator for the keywords that this schema uses; any other keyword is an error of the test, as is a property that the schema
//! does not describe. (`models/tests` holds the program's own lines against it with Python's `jsonschema`.)

use serde_json::{Map, Value};

/// The schema.
pub fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/schema/results.schema.json")).expect("the schema is JSON")
}

/// Every line must be valid, the first a header, all others frames.
#[track_caller]
pub fn assert_valid(text: &str) {
    let schema = schema();
    assert!(text.ends_with('\n'), "half a line at the end");
    for (number, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let kind = if value.get("schema").is_some() { "header" } else { "frame" };
        assert!(number > 0 || kind == "header", "no header: {line}");
        let faults = faults(&schema, &schema["$defs"][kind], &value, kind);
        assert!(faults.is_empty(), "{faults:?} in {line}");
        assert_eq!(self::faults(&schema, &schema, &value, ""), [""; 0], "exactly one kind of line: {line}");
    }
}

/// What is wrong with `value`, which `place` names.
pub fn faults(root: &Value, rule: &Value, value: &Value, place: &str) -> Vec<String> {
    let rule = match rule {
        Value::Bool(true) => return Vec::new(),
        Value::Bool(false) => return vec![format!("{place} is too much")],
        Value::Object(rule) => rule,
        other => panic!("{other} is no schema"),
    };
    let mut found = Vec::new();
    for (keyword, argument) in rule {
        let fits = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = argument.as_str().and_then(|name| name.strip_prefix("#/$defs/")).expect("a reference");
                found.extend(faults(root, &root["$defs"][name], value, place));
                true
            }
            "oneOf" => {
                let fit = |rule: &&Value| faults(root, rule, value, place).is_empty();
                argument.as_array().unwrap().iter().filter(fit).count() == 1
            }
            "type" => match argument {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
                kind => is_of(value, kind),
            },
            "const" => value == argument,
            "enum" => argument.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= argument.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|list| list.len() >= argument.as_u64().unwrap() as usize),
            "required" => value.as_object().is_none_or(|object| {
                argument.as_array().unwrap().iter().all(|name| object.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                found.extend(properties(root, argument.as_object().unwrap(), value, place));
                true
            }
            "prefixItems" | "items" => {
                found.extend(items(root, rule, keyword, value, place));
                true
            }
            other => panic!("the test does not know the keyword {other}"),
        };
        if !fits {
            found.push(format!("{place}: {value} is not {keyword} {argument}"));
        }
    }
    found
}

fn properties(root: &Value, rules: &Map<String, Value>, value: &Value, place: &str) -> Vec<String> {
    let check = |(name, value): (&String, &Value)| match rules.get(name) {
        Some(rule) => faults(root, rule, value, &format!("{place}.{name}")),
        None => vec![format!("{place}.{name} is not described")],
    };
    value.as_object().into_iter().flatten().flat_map(check).collect()
}

fn items(root: &Value, rule: &Map<String, Value>, keyword: &str, value: &Value, place: &str) -> Vec<String> {
    let prefix = rule.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    let check = |(index, value): (usize, &Value)| {
        let rule = match keyword {
            "prefixItems" => prefix.get(index),
            _ => rule.get("items").filter(|_| index >= prefix.len()),
        };
        rule.map_or_else(Vec::new, |rule| faults(root, rule, value, &format!("{place}[{index}]")))
    };
    list.iter().enumerate().flat_map(check).collect()
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the test does not know the type {other}"),
    }
}
