//! `--rule` of the emulator: a shared access rule, in one argument.

use std::path::PathBuf;

use super::failure::Failure;
use super::settings::read_secret;
use crate::emulator::AccessRule;

/// What the argument says; the key is still in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleArg {
    name: String,
    pub(super) key_file: PathBuf,
    rights: Vec<Right>,
    event_hub: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Send,
    Listen,
    Manage,
}

impl RuleArg {
    /// The rule, with its key read.
    pub(super) fn read(&self) -> Result<AccessRule, Failure> {
        let rule = AccessRule::new(&self.name, read_secret(&self.key_file, "the key")?.expose());
        let rule = self.rights.iter().fold(rule, |rule, right| match right {
            Right::Send => rule.send(),
            Right::Listen => rule.listen(),
            Right::Manage => rule.manage(),
        });
        Ok(match &self.event_hub {
            Some(event_hub) => rule.event_hub(event_hub),
            None => rule,
        })
    }
}

/// Reads `name=NAME,key-file=FILE`, with `rights=` and `event-hub=` if they are there.
pub(super) fn parse(text: &str) -> Result<RuleArg, String> {
    let (mut name, mut key_file, mut rights, mut event_hub) = (None, None, None, None);
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=').ok_or("expected name=NAME,key-file=FILE; each part is KEY=VALUE")?;
        let place = match key.trim() {
            "name" => &mut name,
            "key-file" => &mut key_file,
            "rights" => &mut rights,
            "event-hub" => &mut event_hub,
            // What was meant for a key is not repeated.
            _ => return Err("unknown part: use name, key-file, rights and event-hub".to_owned()),
        };
        if place.replace(value.trim().to_owned()).is_some() {
            return Err(format!("{} stands twice", key.trim()));
        }
    }
    let rights = rights.map_or(Ok(vec![Right::Manage]), |rights| rights.split('+').map(right).collect())?;
    Ok(RuleArg {
        name: name.ok_or("name=NAME is missing")?,
        key_file: key_file.ok_or("key-file=FILE is missing")?.into(),
        rights,
        event_hub,
    })
}

fn right(text: &str) -> Result<Right, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "send" => Ok(Right::Send),
        "listen" => Ok(Right::Listen),
        "manage" => Ok(Right::Manage),
        _ => Err("rights are send, listen and manage, joined by +, e.g. rights=send+listen".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_any_order() {
        let rule = parse("key-file=/run/key,name=publish,event-hub=telemetry,rights=Send+listen").unwrap();
        assert_eq!((rule.name.as_str(), rule.event_hub.as_deref()), ("publish", Some("telemetry")));
        assert_eq!(rule.rights, [Right::Send, Right::Listen]);
        assert_eq!(parse("name=all,key-file=k").unwrap().rights, [Right::Manage]);
    }

    #[test]
    fn what_is_missing_or_strange_is_told_without_its_value() {
        for (text, words) in [
            ("publish", "expected name=NAME,key-file=FILE"),
            ("name=a", "key-file=FILE is missing"),
            ("key-file=k", "name=NAME is missing"),
            ("name=a,name=b,key-file=k", "name stands twice"),
            ("name=a,key=c2VjcmV0", "unknown part"),
            ("name=a,key-file=k,rights=read", "rights are send, listen and manage"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(words), "{error}");
            assert!(!error.contains("c2VjcmV0"));
        }
    }
}
