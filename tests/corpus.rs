//! The fuzz targets, run on the committed corpora: what was found once stays found. See `docs/reliability.md`.

use std::fs;
use std::path::PathBuf;

use hubwire::fuzzing::{TARGETS, Target};

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The committed inputs of a target, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let path = fuzz().join("corpus").join(target);
    let files = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).expect("readable"))).collect()
}

/// Runs `target` on `input`, and says which input it was when it panics.
fn run(target: Target, name: &str, input: &[u8]) {
    let result = std::panic::catch_unwind(|| target(input));
    assert!(result.is_ok(), "{name} fails: {input:02x?}");
}

#[test]
fn every_target_holds_on_its_corpus() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 10, "{name} has {} inputs", corpus.len());
        for (file, input) in corpus {
            run(target, &file.display().to_string(), &input);
        }
    }
}

#[test]
fn every_target_holds_on_every_prefix_of_its_corpus() {
    for (name, target) in TARGETS {
        for (file, input) in corpus(name) {
            // Every cut of the small ones, and a cut in sixteen of the others.
            let step = if input.len() <= 128 { 1 } else { input.len() / 16 };
            for len in (0..input.len()).step_by(step) {
                run(target, &format!("{}, {len} bytes of it,", file.display()), &input[..len]);
            }
        }
    }
}

#[test]
fn every_target_has_its_program() {
    for (name, _) in TARGETS {
        let path = fuzz().join("fuzz_targets").join(name).with_extension("rs");
        let program = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(program.contains(&format!("hubwire::fuzzing::{name}")), "{}", path.display());
    }
    let programs = fs::read_dir(fuzz().join("fuzz_targets")).expect("a folder").count();
    assert_eq!(programs, TARGETS.len());
}
