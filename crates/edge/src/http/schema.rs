//! What of a JSON Schema says which documents are valid, apart from what is only for people.

use serde_json::Value;

/// Keywords that constrain nothing.
const ANNOTATIONS: [&str; 9] = [
    "$comment",
    "$id",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];
/// Keywords whose value has schemas under names that are the author's.
const NAMED: [&str; 7] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords whose value is a list in which the order means nothing.
const SETS: [&str; 3] = ["enum", "required", "type"];
/// Keywords whose value is a document, or a list of them, and no schema.
const DOCUMENTS: [&str; 2] = ["const", "enum"];

/// The schema without annotations, as a text that does not depend on the order of its fields.
pub(super) fn constraints(schema: &Value) -> String {
    text(&constrained(schema))
}

fn text(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn constrained(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let kept = keywords
                .iter()
                .filter(|(keyword, _)| !ANNOTATIONS.contains(&keyword.as_str()));
            let kept = kept.map(|(keyword, value)| {
                let value = match (keyword.as_str(), value) {
                    (name, value) if DOCUMENTS.contains(&name) => value.clone(),
                    (name, Value::Object(named)) if NAMED.contains(&name) => {
                        let named = named.iter().map(|(name, schema)| (name.clone(), constrained(schema)));
                        Value::Object(named.collect())
                    }
                    (_, value) => constrained(value),
                };
                let value = match value {
                    Value::Array(mut values) if SETS.contains(&keyword.as_str()) => {
                        values.sort_by_cached_key(text);
                        Value::Array(values)
                    }
                    value => value,
                };
                (keyword.clone(), value)
            });
            Value::Object(kept.collect())
        }
        Value::Array(schemas) => schemas.iter().map(constrained).collect(),
        other => other.clone(),
    }
}

/// As JSON, the fields of each object in the order of their names.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (name, value) in fields {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for value in values {
                write(value, out);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_only_for_people_constrains_nothing_and_a_field_of_that_name_does() {
        let plain = json!({"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}});
        let same = json!({
            "properties": {"title": {"type": "string", "description": "of the book", "examples": [1]}},
            "title": "A book", "$comment": "or two", "type": "object", "required": ["title"],
        });
        assert_eq!(constraints(&plain), constraints(&same));
        for other in [
            json!({"type": "object", "required": ["title"], "properties": {}}),
            json!({"type": "object", "required": [], "properties": {"title": {"type": "string"}}}),
            json!({"type": "object", "required": ["title"], "properties": {"title": {"type": "number"}}}),
            json!({"type": "object", "required": ["title"], "properties": {"title": {"const": {"title": 1}}}}),
            json!({"type": "object", "required": ["title"], "properties": {"title": {"const": {"title": 2}}}}),
            json!(true),
        ] {
            assert_ne!(constraints(&plain), constraints(&other), "{other}");
        }
        let one = json!({"properties": {"title": {"const": {"title": 1}}}});
        let two = json!({"properties": {"title": {"const": {"title": 2}}}});
        assert_ne!(constraints(&one), constraints(&two), "a document is no schema");
        let one = json!({"type": ["string", "null"], "required": ["a", "b"]});
        assert_eq!(
            constraints(&one),
            constraints(&json!({"required": ["b", "a"], "type": ["null", "string"]}))
        );
        let one = json!({"dependentRequired": {"title": ["isbn"]}});
        assert_ne!(constraints(&one), constraints(&json!({"dependentRequired": {}})));
    }

    /// Its digest lies in logs: another text for the same schema would pass for another schema.
    #[test]
    fn the_text_is_pinned() {
        let schema = json!({"type": ["object"], "title": "x", "properties": {"b": {"const": 1.5}, "a": {"not": true}}});
        let text = r#"{"properties":{"a":{"not":true,},"b":{"const":1.5,},},"type":["object",],}"#;
        assert_eq!(constraints(&schema), text);
    }
}
