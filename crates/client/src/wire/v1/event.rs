use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::content;

/// The query string of `GET /v1/streams/{stream}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct EventsParameters {
    /// First offset; absent: the first event that the stream holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Go on where this consumer stands; excludes `from`. Reading moves it nowhere: that is what a commit does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// At most so many events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Go on with new events as they come.
    #[serde(default)]
    pub follow: bool,
    /// Events that were emitted in a later version are brought down into this one, as the application's manifest says how.
    /// Absent: into the version that the consumer is pinned to, else none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_version: Option<u16>,
}

/// An event: one line of NDJSON, or the data of one server-sent event. The key stands in `key` (or `key_base64`, or
/// nowhere if there is none), the value in `value` (or `value_base64`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EventJson")]
pub struct EventRecord {
    /// Its dense position in the stream.
    pub offset: u64,
    /// The time of its entry, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Its key, if the application gave one.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Bytes,
    /// The version of its value; in JSON it is left out where it is 1.
    pub version: u16,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = EventRecord))]
struct EventJson {
    offset: u64,
    time_ms: u64,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default, deserialize_with = "content::present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    value: Option<Box<RawValue>>,
    #[serde(default)]
    value_base64: Option<String>,
    #[serde(default = "first")]
    version: u16,
}

fn first() -> u16 {
    1
}

/// What is written of an event, by nodes for each of its readers: nothing of it is copied that need not be.
#[derive(Serialize)]
struct EventView<'a> {
    offset: u64,
    time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u16>,
}

#[cfg(feature = "openapi")]
super::schema::shown_as!(EventRecord as "EventRecord" in EventJson);

impl Serialize for EventRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, key_base64) = self.key.as_deref().map(content::view_of_key).unwrap_or_default();
        let (value, value_base64) = content::view_of_value(&self.value);
        let view = EventView {
            offset: self.offset,
            time_ms: self.time_ms,
            key,
            key_base64,
            value,
            value_base64,
            version: (self.version != first()).then_some(self.version),
        };
        view.serialize(serializer)
    }
}

impl TryFrom<EventJson> for EventRecord {
    type Error = String;
    fn try_from(from: EventJson) -> Result<Self, String> {
        Ok(EventRecord {
            offset: from.offset,
            time_ms: from.time_ms,
            key: content::key_from((from.key, from.key_base64))?,
            value: content::value_from("value", (from.value, from.value_base64))?,
            version: from.version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_as_json() {
        let event = EventRecord {
            offset: 3,
            time_ms: 5,
            key: Some(Bytes::from_static(b"k")),
            value: "[1]".into(),
            version: 1,
        };
        let text = serde_json::to_string(&event).unwrap();
        expect_test::expect![[r#"{"offset":3,"time_ms":5,"key":"k","value":[1]}"#]].assert_eq(&text);
        assert_eq!(serde_json::from_str::<EventRecord>(&text).unwrap(), event);
        let bare = EventRecord {
            key: None,
            version: 2,
            ..event
        };
        assert!(serde_json::to_string(&bare).unwrap().ends_with(r#""version":2}"#));
        assert_eq!(
            serde_json::from_str::<EventRecord>(&serde_json::to_string(&bare).unwrap()).unwrap(),
            bare
        );
    }
}
