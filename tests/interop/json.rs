//! Events as JSON, in the form that `proton_codec.py` writes: the two must change together.

use hubwire::Event;
use hubwire::wire::event::{Annotations, Body, Header, MessageId, Properties};
use hubwire::wire::value::Value;
use serde_json::{Map, Value as Json, json};

/// Every section of `event` and every value in it, with its AMQP type.
pub(crate) fn event(event: &Event) -> Json {
    let properties = event.application_properties();
    let pairs: Vec<Json> =
        properties.iter().map(|(key, value)| json!([{ "string": key }, self::value(value)])).collect();
    json!({
        "header": event.header().map(header),
        "delivery_annotations": event.delivery_annotations().and_then(annotations),
        "message_annotations": event.message_annotations().and_then(annotations),
        "properties": event.properties().map(self::properties),
        "application_properties": (!pairs.is_empty()).then_some(pairs),
        "body": body(event.body()),
        "footer": event.footer().and_then(annotations),
    })
}

fn annotations(annotations: &Annotations) -> Option<Json> {
    (!annotations.is_empty())
        .then(|| annotations.iter().map(|(key, value)| json!([self::value(key), self::value(value)])).collect())
}

fn header(header: &Header) -> Json {
    fields([
        ("durable", header.durable.map(Value::from)),
        ("priority", header.priority.map(Value::from)),
        ("ttl", header.ttl_millis.map(Value::from)),
        ("first_acquirer", header.first_acquirer.map(Value::from)),
        ("delivery_count", header.delivery_count.map(Value::from)),
    ])
}

fn properties(properties: &Properties) -> Json {
    let string = |text: &Option<String>| text.clone().map(Value::String);
    let symbol = |text: &Option<String>| text.clone().map(Value::Symbol);
    fields([
        ("message_id", properties.message_id.clone().map(id)),
        ("user_id", properties.user_id.clone().map(Value::Binary)),
        ("to", string(&properties.to)),
        ("subject", string(&properties.subject)),
        ("reply_to", string(&properties.reply_to)),
        ("correlation_id", properties.correlation_id.clone().map(id)),
        ("content_type", symbol(&properties.content_type)),
        ("content_encoding", symbol(&properties.content_encoding)),
        ("absolute_expiry_time", properties.absolute_expiry_unix_millis.map(Value::Timestamp)),
        ("creation_time", properties.creation_unix_millis.map(Value::Timestamp)),
        ("group_id", string(&properties.group_id)),
        ("group_sequence", properties.group_sequence.map(Value::from)),
        ("reply_to_group_id", string(&properties.reply_to_group_id)),
    ])
}

fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Json {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), self::value(&value?))));
    Json::Object(there.collect::<Map<_, _>>())
}

fn id(id: MessageId) -> Value {
    match id {
        MessageId::Ulong(id) => Value::Ulong(id),
        MessageId::Uuid(id) => Value::Uuid(id),
        MessageId::Binary(id) => Value::Binary(id),
        MessageId::String(id) => Value::String(id),
    }
}

fn body(body: &Body) -> Json {
    match body {
        Body::Absent => json!([]),
        Body::Data(data) => json!([{ "data": hex(data) }]),
        Body::DataSections(sections) => sections.iter().map(|data| json!({ "data": hex(data) })).collect(),
        Body::Value(value) => json!([{ "value": self::value(value) }]),
        Body::Sequences(sections) => sections.iter().map(|values| json!({ "sequence": list(values) })).collect(),
    }
}

fn value(value: &Value) -> Json {
    match value {
        Value::Null => json!({ "null": null }),
        Value::Boolean(value) => json!({ "bool": value }),
        Value::Ubyte(number) => json!({ "ubyte": number }),
        Value::Ushort(number) => json!({ "ushort": number }),
        Value::Uint(number) => json!({ "uint": number }),
        Value::Ulong(number) => json!({ "ulong": number }),
        Value::Byte(number) => json!({ "byte": number }),
        Value::Short(number) => json!({ "short": number }),
        Value::Int(number) => json!({ "int": number }),
        Value::Long(number) => json!({ "long": number }),
        Value::Float(number) => json!({ "float": hex(&number.to_be_bytes()) }),
        Value::Double(number) => json!({ "double": hex(&number.to_be_bytes()) }),
        Value::Decimal32(bytes) => json!({ "decimal32": hex(bytes) }),
        Value::Decimal64(bytes) => json!({ "decimal64": hex(bytes) }),
        Value::Decimal128(bytes) => json!({ "decimal128": hex(bytes) }),
        Value::Char(value) => json!({ "char": value }),
        Value::Timestamp(unix_millis) => json!({ "timestamp": unix_millis }),
        Value::Uuid(bytes) => json!({ "uuid": hex(bytes) }),
        Value::Binary(bytes) => json!({ "binary": hex(bytes) }),
        Value::String(text) => json!({ "string": text }),
        Value::Symbol(text) => json!({ "symbol": text }),
        Value::List(values) => json!({ "list": list(values) }),
        Value::Map(pairs) => {
            let pairs: Vec<Json> =
                pairs.iter().map(|(key, value)| json!([self::value(key), self::value(value)])).collect();
            json!({ "map": pairs })
        }
        Value::Array(array) => json!({ "array": [array.kind().name(), list(array.values())] }),
        Value::Described(parts) => json!({ "described": [self::value(&parts.0), self::value(&parts.1)] }),
    }
}

fn list(values: &[Value]) -> Vec<Json> {
    values.iter().map(value).collect()
}

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
