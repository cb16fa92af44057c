//! What is public, read from the source itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Not the library's: the command line is run as a whole, the fuzz targets print nothing.
const LEFT_OUT: [&str; 5] = ["cli", "cli.rs", "main.rs", "fuzzing", "fuzzing.rs"];

/// The library's source files, read.
fn sources() -> Vec<String> {
    let src = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&src, &mut found);
    found
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if LEFT_OUT.contains(&name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if name.ends_with(".rs") {
            found.push(fs::read_to_string(&path).expect("text"));
        }
    }
}

/// The name that `line` declares with one of `keywords`.
fn declared<'a>(line: &'a str, keywords: &[&str]) -> Option<&'a str> {
    let rest = keywords.iter().find_map(|keyword| line.strip_prefix(keyword))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Structs and enums that are public where they stand; none of the library's is hidden behind a private module.
pub(crate) fn public_types() -> BTreeSet<String> {
    let sources = sources();
    let lines = sources.iter().flat_map(|source| source.lines());
    lines.filter_map(|line| declared(line, &["pub struct ", "pub enum "])).map(str::to_owned).collect()
}

/// The variants of the public enum `name`.
pub(crate) fn variants(name: &str) -> BTreeSet<String> {
    let sources = sources();
    let is_it = |line: &&str| declared(line, &["pub enum "]) == Some(name);
    let source = sources.iter().find(|source| source.lines().any(|line| is_it(&line))).expect("it is there");
    let body = source.lines().skip_while(|line| !is_it(line)).skip(1).take_while(|line| *line != "}");
    let variants =
        body.filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(char::is_uppercase)));
    variants.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().expect("a name").to_owned()).collect()
}

/// The name of a variant, from its `Debug`.
pub(crate) fn variant(shown: &str) -> String {
    shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[test]
fn types_and_variants_are_read_from_the_source() {
    let types = public_types();
    for name in ["ConnectionString", "SasToken", "Sender", "Builder", "Error", "SendError"] {
        assert!(types.contains(name), "{name}");
    }
    assert!(!types.contains("Pump") && types.len() > 40, "{types:?}");
    assert_eq!(variants("Scope"), ["Connection", "Link", "Session"].map(str::to_owned).into());
    assert!(variants("ParseError").contains("InvalidSharedAccessSignature"));
}
