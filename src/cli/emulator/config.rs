//! `Config.json` of the official emulator, as it is. Source: event-hubs-wire 12.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value as Json;

use crate::cli::failure::Failure;
use crate::cli::json::kind;
use crate::cli::shown;
use crate::emulator::is_name;

/// Bytes: far more than a namespace takes to describe.
const MAX_LEN: u64 = 1024 * 1024;
/// Always there, and not to be listed.
const DEFAULT_CONSUMER_GROUP: &str = "$Default";

/// What the file describes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) event_hubs: Vec<EventHub>,
    /// What was passed over.
    pub(super) warnings: Vec<String>,
}

/// One of `Entities`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventHub {
    pub(super) name: String,
    pub(super) partition_count: u32,
    /// Beside `$Default`.
    pub(super) consumer_groups: Vec<String>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Config, Failure> {
    let failed = |why: String| Failure::configuration(format!("--config {}: {why}", shown(path)));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_LEN + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MAX_LEN {
        return Err(failed("longer than 1 MiB, which is no Config.json of an emulator".to_owned()));
    }
    parse(&text).map_err(failed)
}

/// What `text` describes, or what is wrong with it and where.
fn parse(text: &str) -> Result<Config, String> {
    let root: Json = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    let mut warnings = Vec::new();
    let root = Node { path: String::new(), value: &root };
    root.knows(&["UserConfig"], &mut warnings)?;
    let user_config = root.required("UserConfig", "an object")?;
    // Where the official emulator logs is its own affair; this one has standard error.
    user_config.knows(&["NamespaceConfig", "LoggingConfig"], &mut warnings)?;
    if let Some(logging) = user_config.member("LoggingConfig")? {
        logging.object()?;
    }
    let namespace = only_namespace(&user_config)?;
    namespace.knows(&["Type", "Name", "Entities"], &mut warnings)?;
    check_type(&namespace)?;
    let mut event_hubs = Vec::new();
    let mut names = HashSet::new();
    for entity in namespace.required("Entities", "an array of event hubs")?.items()? {
        event_hubs.push(event_hub(&entity, &mut names, &mut warnings)?);
    }
    Ok(Config { event_hubs, warnings })
}

fn only_namespace<'a>(user_config: &Node<'a>) -> Result<Node<'a>, String> {
    let namespaces = user_config.required("NamespaceConfig", "an array of one namespace")?;
    let mut items = namespaces.items()?;
    match items.len() {
        1 => Ok(items.remove(0)),
        count => Err(format!("{}: expected one namespace, got {count}; run an emulator for each", namespaces.path)),
    }
}

fn check_type(namespace: &Node<'_>) -> Result<(), String> {
    match namespace.member("Type")? {
        Some(kind) if !kind.text()?.eq_ignore_ascii_case("EventHub") => kind.wrong("\"EventHub\""),
        _ => Ok(()),
    }
}

fn event_hub(entity: &Node<'_>, names: &mut HashSet<String>, warnings: &mut Vec<String>) -> Result<EventHub, String> {
    entity.knows(&["Name", "PartitionCount", "ConsumerGroups"], warnings)?;
    let name = name(entity, names)?;
    let partition_count = partition_count(&entity.required("PartitionCount", PARTITION_COUNT)?)?;
    let mut consumer_groups = Vec::new();
    let mut groups = HashSet::new();
    for group in entity.member("ConsumerGroups")?.map_or(Ok(Vec::new()), |groups| groups.items())? {
        group.knows(&["Name"], warnings)?;
        let listed = group.required("Name", NAME)?;
        if listed.text()?.eq_ignore_ascii_case(DEFAULT_CONSUMER_GROUP) {
            warnings.push(format!("{}: {DEFAULT_CONSUMER_GROUP} is always there and need not be listed", listed.path));
            continue;
        }
        consumer_groups.push(self::name(&group, &mut groups)?);
    }
    Ok(EventHub { name, partition_count, consumer_groups })
}

const NAME: &str = "a name of 1 to 256 ASCII letters, digits, `.`, `-` and `_`, with a letter or digit at both ends";
const PARTITION_COUNT: &str = "a whole number from 1 to 32, as a number or as text";

/// `Name` of `node`, unlike those before it.
fn name(node: &Node<'_>, before: &mut HashSet<String>) -> Result<String, String> {
    let name = node.required("Name", NAME)?;
    let text = name.text()?;
    if !is_name(text) {
        return name.wrong(NAME);
    }
    if !before.insert(text.to_ascii_lowercase()) {
        return Err(format!("{}: {text:?} is there already; names are compared without case", name.path));
    }
    Ok(text.to_owned())
}

fn partition_count(node: &Node<'_>) -> Result<u32, String> {
    let count = match node.value {
        Json::String(text) => text.trim().parse().ok(),
        Json::Number(number) => number.as_u64(),
        _ => None,
    };
    match count {
        Some(count @ 1..=32) => Ok(count as u32),
        _ => node.wrong(PARTITION_COUNT),
    }
}

/// A value, and where it stands.
struct Node<'a> {
    path: String,
    value: &'a Json,
}

impl<'a> Node<'a> {
    fn object(&self) -> Result<&'a serde_json::Map<String, Json>, String> {
        self.value.as_object().map_or_else(|| self.wrong("an object"), Ok)
    }

    fn text(&self) -> Result<&'a str, String> {
        self.value.as_str().map_or_else(|| self.wrong("text"), Ok)
    }

    fn items(&self) -> Result<Vec<Self>, String> {
        let items = self.value.as_array().map_or_else(|| self.wrong("an array"), Ok)?;
        let item = |(index, value)| Self { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// A member, unless it is not there or null.
    fn member(&self, name: &str) -> Result<Option<Self>, String> {
        let value = self.object()?.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Self { path: self.path_of(name), value }))
    }

    fn required(&self, name: &str, expected: &str) -> Result<Self, String> {
        let missing = || format!("{}: missing; expected {expected}", self.path_of(name));
        self.member(name)?.ok_or_else(missing)
    }

    /// Warns of members that are not among `known`.
    fn knows(&self, known: &[&str], warnings: &mut Vec<String>) -> Result<(), String> {
        for name in self.object()?.keys().filter(|name| !known.contains(&name.as_str())) {
            let similar = known.iter().find(|known| known.eq_ignore_ascii_case(name));
            let advice = similar.map_or(String::new(), |known| format!("; is {known} meant?"));
            warnings.push(format!("{}: unknown, and ignored{advice}", self.path_of(name)));
        }
        Ok(())
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, String> {
        let got = match self.value {
            Json::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            Json::Number(number) => number.to_string(),
            other => kind(other).to_owned(),
        };
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        Err(format!("{path}: expected {expected}, got {got}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that comes with the official emulator.
    const OFFICIAL: &str = r#"{"UserConfig":{"NamespaceConfig":[{"Type":"EventHub","Name":"emulatorNs1",
        "Entities":[{"Name":"eh1","PartitionCount":"2","ConsumerGroups":[{"Name":"cg1"}]}]}],
        "LoggingConfig":{"Type":"File"}}}"#;

    fn with(from: &str, to: &str) -> Result<Config, String> {
        assert!(OFFICIAL.contains(from), "{from}");
        parse(&OFFICIAL.replace(from, to))
    }

    #[test]
    fn the_official_file_is_taken_as_it_is() {
        let config = parse(OFFICIAL).unwrap();
        let hub = EventHub { name: "eh1".into(), partition_count: 2, consumer_groups: vec!["cg1".into()] };
        assert_eq!(config, Config { event_hubs: vec![hub], warnings: Vec::new() });
        assert_eq!(parse(&format!("\u{feff}{OFFICIAL}")).unwrap(), parse(OFFICIAL).unwrap());
        assert_eq!(with("\"2\"", "2").unwrap(), parse(OFFICIAL).unwrap());
        let without_groups = with(r#","ConsumerGroups":[{"Name":"cg1"}]"#, "").unwrap();
        assert!(without_groups.event_hubs[0].consumer_groups.is_empty());
    }

    #[test]
    fn what_is_passed_over_is_told() {
        for (from, to, warning) in [
            (
                "\"PartitionCount\"",
                "\"partitionCount\":3,\"PartitionCount\"",
                "UserConfig.NamespaceConfig[0].Entities[0].partitionCount: unknown, and ignored; is PartitionCount meant?",
            ),
            ("\"LoggingConfig\"", "\"Other\"", "UserConfig.Other: unknown, and ignored"),
            (
                "\"cg1\"",
                "\"$default\"",
                "UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroups[0].Name: $Default is always there and need not be \
                 listed",
            ),
        ] {
            assert_eq!(with(from, to).unwrap().warnings, [warning]);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_is_expected() {
        let hub = "UserConfig.NamespaceConfig[0].Entities[0]";
        for (from, to, error) in [
            ("\"2\"", "\"0\"", format!("{hub}.PartitionCount: expected {PARTITION_COUNT}, got \"0\"")),
            ("\"2\"", "33", format!("{hub}.PartitionCount: expected {PARTITION_COUNT}, got 33")),
            ("\"2\"", "1.5", format!("{hub}.PartitionCount: expected {PARTITION_COUNT}, got 1.5")),
            ("\"2\"", "[]", format!("{hub}.PartitionCount: expected {PARTITION_COUNT}, got an array")),
            ("\"2\"", "null", format!("{hub}.PartitionCount: missing; expected {PARTITION_COUNT}")),
            ("\"eh1\"", "\"a b\"", format!("{hub}.Name: expected {NAME}, got \"a b\"")),
            ("\"eh1\"", "7", format!("{hub}.Name: expected text, got 7")),
            ("\"cg1\"", "\"\"", format!("{hub}.ConsumerGroups[0].Name: expected {NAME}, got \"\"")),
            ("[{\"Name\":\"cg1\"}]", "{}", format!("{hub}.ConsumerGroups: expected an array, got an object")),
            (
                "{\"Name\":\"cg1\"}",
                "{\"Name\":\"cg1\"},{\"Name\":\"CG1\"}",
                format!("{hub}.ConsumerGroups[1].Name: \"CG1\" is there already; names are compared without case"),
            ),
            (
                "\"EventHub\"",
                "\"ServiceBus\"",
                "UserConfig.NamespaceConfig[0].Type: expected \"EventHub\", got \"ServiceBus\"".into(),
            ),
            ("{\"Type\":\"File\"}", "1", "UserConfig.LoggingConfig: expected an object, got 1".into()),
        ] {
            assert_eq!(with(from, to).unwrap_err(), error);
        }
        for (text, error) in [
            ("[]", "the document: expected an object, got an array"),
            ("{}", "UserConfig: missing; expected an object"),
            (r#"{"UserConfig":{}}"#, "UserConfig.NamespaceConfig: missing; expected an array of one namespace"),
            (
                r#"{"UserConfig":{"NamespaceConfig":[]}}"#,
                "UserConfig.NamespaceConfig: expected one namespace, got 0; run an emulator for each",
            ),
            (
                r#"{"UserConfig":{"NamespaceConfig":[{}]}}"#,
                "UserConfig.NamespaceConfig[0].Entities: missing; expected an array of event hubs",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
        assert!(parse("{").unwrap_err().contains("line 1 column 1"));
    }
}
