//! The events, drawn by seed.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rand::distr::weighted::WeightedIndex;
use rand::distr::{Distribution, Uniform};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::Zipf;

use super::report::NamedFile;
use super::workload::{Bodies, Keys, Sizes, Workload, size};
use crate::wire::secret::shown;

/// Bytes that bodies are cut from, beside those of the longest: as many as bits of a draw name.
const POOL_BITS: u32 = 20;
const POOL_LEN: usize = 1 << POOL_BITS;
/// What compressible bodies are made of.
const WORDS: [&str; 8] =
    ["telemetry ", "device ", "temperature ", "pressure ", "2026-11-25T09:05:00Z ", "ok ", "21.5 ", "0 "];

/// A file of the workload that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialError {
    /// It cannot be read.
    #[error("cannot read {}: {source}; check the path", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: expected {expected}", shown(path))]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        line: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// There is nothing in it.
    #[error("{} holds nothing; write a line into it", shown(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// What all lanes draw from: files that were read, bytes that bodies are cut from.
#[derive(Debug)]
pub(super) struct Material {
    sizes: SizeSource,
    bodies: BodySource,
    keys: KeySource,
    /// What was read, for the report.
    pub(super) files: Vec<NamedFile>,
}

#[derive(Debug)]
enum SizeSource {
    Fixed(usize),
    Range(Uniform<usize>, usize),
    Weighted(Vec<usize>, WeightedIndex<f64>),
    Listed(Vec<usize>),
}

#[derive(Debug)]
enum BodySource {
    Pool(Bytes),
    Template(String),
    Lines(Vec<Bytes>),
}

#[derive(Debug)]
enum KeySource {
    None,
    InTurn(u32),
    Uniform(Uniform<u32>),
    Zipf(Zipf<f64>),
    Listed(Vec<Box<str>>),
}

impl Material {
    /// Reads the files, and makes the bytes.
    pub(super) fn new(workload: &Workload) -> Result<Self, MaterialError> {
        let mut files = Files::default();
        let sizes = sizes(&workload.sizes, &mut files)?;
        let bodies = match &workload.bodies {
            Bodies::Random => BodySource::Pool(random_pool(&sizes, workload.seed)),
            Bodies::Compressible => BodySource::Pool(pool_of_words(&sizes, workload.seed)),
            Bodies::Template(path) => BodySource::Template(files.read(path)?.trim_end().to_owned()),
            Bodies::Lines(path) => {
                BodySource::Lines(files.lines(path, |line| Some(Bytes::from(line.to_owned())), "")?)
            }
        };
        let keys = keys(&workload.keys, &mut files)?;
        Ok(Self { sizes, bodies, keys, files: files.0 })
    }

    /// The body that was drawn.
    pub(super) fn body<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match (piece, &self.bodies) {
            (Piece::Pooled(range), BodySource::Pool(pool)) => &pool[range.clone()],
            (Piece::Pooled(_), _) => &[],
            (Piece::Own(body), _) => body,
        }
    }

    /// The same, shared and not copied.
    pub(super) fn shared_body(&self, piece: &Piece) -> Bytes {
        match (piece, &self.bodies) {
            (Piece::Pooled(range), BodySource::Pool(pool)) => pool.slice(range.clone()),
            (Piece::Pooled(_), _) => Bytes::new(),
            (Piece::Own(body), _) => body.clone(),
        }
    }

    /// The key with number `index`.
    pub(super) fn key(&self, index: u32) -> String {
        match &self.keys {
            KeySource::Listed(keys) => keys[index as usize % keys.len()].to_string(),
            _ => format!("key-{index}"),
        }
    }
}

fn sizes(sizes: &Sizes, files: &mut Files) -> Result<SizeSource, MaterialError> {
    Ok(match sizes {
        Sizes::Fixed(len) => SizeSource::Fixed(*len as usize),
        // What was parsed is a range, and has weights above 0.
        Sizes::Range(from, to) => match Uniform::new_inclusive(*from as usize, *to as usize) {
            Ok(range) => SizeSource::Range(range, *to as usize),
            Err(_) => SizeSource::Fixed(*from as usize),
        },
        Sizes::Weighted(parts) => match WeightedIndex::new(parts.iter().map(|(_, weight)| *weight)) {
            Ok(index) => SizeSource::Weighted(parts.iter().map(|(len, _)| *len as usize).collect(), index),
            Err(_) => SizeSource::Fixed(0),
        },
        Sizes::File(path) => {
            let expected = "bytes up to 20MiB, such as 100 or 1KiB";
            SizeSource::Listed(files.lines(path, |line| size(line).map(|len| len as usize), expected)?)
        }
    })
}

fn keys(keys: &Keys, files: &mut Files) -> Result<KeySource, MaterialError> {
    Ok(match keys {
        Keys::None => KeySource::None,
        Keys::RoundRobin(count) => KeySource::InTurn((*count).max(1)),
        Keys::Uniform(count) => Uniform::new(0, *count).map_or(KeySource::InTurn(1), KeySource::Uniform),
        Keys::Zipf { count, exponent } => {
            Zipf::new(f64::from(*count), *exponent).map_or(KeySource::InTurn(1), KeySource::Zipf)
        }
        Keys::File(path) => {
            let is_key = |line: &str| (1..=128).contains(&line.chars().count()).then(|| line.into());
            KeySource::Listed(files.lines(path, is_key, "a key of 1 to 128 characters")?)
        }
    })
}

/// The workload's files, and what was read of them.
#[derive(Default)]
struct Files(Vec<NamedFile>);

impl Files {
    fn read(&mut self, path: &Path) -> Result<String, MaterialError> {
        let failed = |source| MaterialError::Unreadable { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        self.0.push(NamedFile::of(path, &text));
        if text.trim().is_empty() { Err(MaterialError::Empty { path: path.to_owned() }) } else { Ok(text) }
    }

    fn lines<T>(
        &mut self,
        path: &Path,
        parse: impl Fn(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<Vec<T>, MaterialError> {
        let text = self.read(path)?;
        let line = |(at, line): (usize, &str)| {
            let wrong = || MaterialError::Line { path: path.to_owned(), line: at + 1, expected };
            parse(line).ok_or_else(wrong)
        };
        text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(line).collect()
    }
}

impl SizeSource {
    fn longest(&self) -> usize {
        match self {
            Self::Fixed(len) => *len,
            Self::Range(_, longest) => *longest,
            Self::Weighted(lens, _) | Self::Listed(lens) => lens.iter().copied().max().unwrap_or(0),
        }
    }
}

fn random_pool(sizes: &SizeSource, seed: u64) -> Bytes {
    let mut pool = vec![0; POOL_LEN + sizes.longest()];
    Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut pool);
    pool.into()
}

fn pool_of_words(sizes: &SizeSource, seed: u64) -> Bytes {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let len = POOL_LEN + sizes.longest();
    let mut pool = Vec::with_capacity(len + 32);
    while pool.len() < len {
        pool.extend_from_slice(WORDS[random.random_range(0..WORDS.len())].as_bytes());
    }
    pool.truncate(len);
    pool.into()
}

/// An event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) body: Piece,
    /// By number, if it has one.
    pub(super) key: Option<u32>,
}

/// A body: a range of what there is, which costs nothing, or bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Pooled(Range<usize>),
    Own(Bytes),
}

/// One lane's events.
#[derive(Debug)]
pub(super) struct Generator {
    material: Arc<Material>,
    random: Xoshiro256PlusPlus,
    lane: u32,
    lanes: u32,
    /// Events drawn.
    count: u64,
}

impl Generator {
    /// For lane `lane` of `lanes`. What goes in turn goes so over all of them.
    pub(super) fn new(material: Arc<Material>, (lane, lanes): (u32, u32), seed: u64) -> Self {
        // Seeds are mixed before they are used: neighbours have nothing in common.
        let random = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(u64::from(lane) << 32));
        Self { material, random, lane, lanes, count: 0 }
    }

    /// The next event. `secs` is when it is, since the start, for a template that says it.
    pub(super) fn draw(&mut self, secs: f64) -> Draw {
        let turn = self.count * u64::from(self.lanes) + u64::from(self.lane);
        let (material, random) = (&*self.material, &mut self.random);
        let key = material.keys.draw(random, turn);
        let body = match &material.bodies {
            BodySource::Pool(_) => {
                let len = material.sizes.draw(random, turn);
                let start = (random.next_u64() >> (u64::BITS - POOL_BITS)) as usize;
                Piece::Pooled(start..start + len)
            }
            BodySource::Lines(lines) => Piece::Own(lines[(turn % lines.len() as u64) as usize].clone()),
            BodySource::Template(template) => {
                let key = key.map(|index| material.key(index)).unwrap_or_default();
                Piece::Own(filled(template, random, turn, &key, secs))
            }
        };
        self.count += 1;
        Draw { body, key }
    }
}

impl SizeSource {
    fn draw(&self, random: &mut Xoshiro256PlusPlus, turn: u64) -> usize {
        match self {
            Self::Fixed(len) => *len,
            Self::Range(range, _) => range.sample(random),
            Self::Weighted(lens, index) => lens[index.sample(random)],
            Self::Listed(lens) => lens[(turn % lens.len() as u64) as usize],
        }
    }
}

impl KeySource {
    fn draw(&self, random: &mut Xoshiro256PlusPlus, turn: u64) -> Option<u32> {
        match self {
            Self::None => None,
            Self::InTurn(count) => Some((turn % u64::from(*count)) as u32),
            Self::Uniform(range) => Some(range.sample(random)),
            // From 1 on.
            Self::Zipf(zipf) => Some(zipf.sample(random) as u32 - 1),
            Self::Listed(keys) => Some((turn % keys.len() as u64) as u32),
        }
    }
}

/// The template with everything put in.
fn filled(template: &str, random: &mut Xoshiro256PlusPlus, turn: u64, key: &str, secs: f64) -> Bytes {
    let mut text = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else {
            text.push_str("{{");
            rest = after;
            continue;
        };
        match name.trim() {
            "sequence" => text.push_str(&turn.to_string()),
            "key" => text.push_str(key),
            "random" => text.push_str(&random.random_range(0..1_000_000).to_string()),
            "float" => text.push_str(&format!("{:.6}", random.random::<f64>())),
            "seconds" => text.push_str(&format!("{secs:.6}")),
            _ => text.push_str(&format!("{{{{{name}}}}}")),
        }
        rest = behind;
    }
    text.push_str(rest);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Debug, PartialEq)]
    struct Drawn {
        body: Bytes,
        key: Option<u32>,
    }

    fn draws(workload: &Workload, lane: (u32, u32), count: usize) -> Vec<Drawn> {
        let material = Arc::new(Material::new(workload).unwrap());
        let mut generator = Generator::new(Arc::clone(&material), lane, workload.seed);
        let mut draw = || {
            let Draw { body, key } = generator.draw(0.0);
            assert_eq!(material.body(&body), material.shared_body(&body));
            Drawn { body: material.shared_body(&body), key }
        };
        (0..count).map(|_| draw()).collect()
    }

    fn counts(workload: &Workload, count: usize) -> HashMap<u32, usize> {
        let mut counts = HashMap::new();
        for draw in draws(workload, (0, 1), count) {
            *counts.entry(draw.key.unwrap()).or_default() += 1;
        }
        counts
    }

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("hubwire-bench-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_seed_repeats_itself_and_lanes_differ() {
        let workload = Workload { sizes: "1..2000".parse().unwrap(), keys: Keys::Uniform(50), ..Workload::default() };
        assert_eq!(draws(&workload, (0, 2), 500), draws(&workload, (0, 2), 500));
        assert_ne!(draws(&workload, (0, 2), 500), draws(&workload, (1, 2), 500));
        assert_ne!(draws(&workload, (0, 1), 500), draws(&Workload { seed: 2, ..workload.clone() }, (0, 1), 500));
    }

    #[test]
    fn sizes_are_as_asked_for() {
        let of = |sizes: &str| {
            let workload = Workload { sizes: sizes.parse().unwrap(), ..Workload::default() };
            draws(&workload, (0, 1), 10_000).iter().map(|draw| draw.body.len()).collect::<Vec<_>>()
        };
        assert!(of("0").iter().all(|len| *len == 0));
        let range = of("10..13");
        assert!((10..=13).all(|len| (2_300..2_700).contains(&range.iter().filter(|other| **other == len).count())));
        let weighted = of("100:7,1k:2.5,60k:0.5");
        for (len, expected) in [(100, 6_800..7_200), (1_000, 2_350..2_650), (60_000, 430..570)] {
            let count = weighted.iter().filter(|other| **other == len).count();
            assert!(expected.contains(&count), "{len}: {count}");
        }
        let path = file("sizes", "5\n\n1k\n");
        assert_eq!(&of(&format!("file:{}", path.display()))[..3], [5, 1_000, 5]);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn keys_are_spread_as_asked_for() {
        let of = |keys: &str| counts(&Workload { keys: keys.parse().unwrap(), ..Workload::default() }, 100_000);
        assert!(of("round-robin:4").values().all(|count| *count == 25_000));
        assert!(of("uniform:4").values().all(|count| (24_000..26_000).contains(count)));
        // 1 : 1/2 : 1/3 : 1/4
        let zipf = of("zipf:4");
        for (key, expected) in [(0, 48_000), (1, 24_000), (2, 16_000), (3, 12_000)] {
            assert!(zipf[&key].abs_diff(expected) < 1_000, "{zipf:?}");
        }
        assert!(of("zipf:4:0").values().all(|count| (24_000..26_000).contains(count)));
    }

    #[test]
    fn what_goes_in_turn_does_so_over_all_lanes() {
        let workload = Workload { keys: Keys::RoundRobin(4), ..Workload::default() };
        let keys = |lane| draws(&workload, (lane, 2), 3).iter().map(|draw| draw.key.unwrap()).collect::<Vec<_>>();
        assert_eq!((keys(0), keys(1)), (vec![0, 2, 0], vec![1, 3, 1]));
    }

    #[test]
    fn lines_and_templates_are_bodies() {
        let path = file("lines", "one\ntwo\n");
        let workload = Workload { bodies: Bodies::Lines(path.clone()), ..Workload::default() };
        assert_eq!(draws(&workload, (0, 1), 3)[2].body, "one");
        fs::remove_file(path).unwrap();
        let path = file("template", "{\"n\":{{sequence}},\"k\":\"{{key}}\",\"x\":{{other}},\"s\":{{ seconds }}, {{\n");
        let bodies = Bodies::Template(path.clone());
        let workload = Workload { bodies, keys: Keys::RoundRobin(2), ..Workload::default() };
        assert_eq!(draws(&workload, (0, 1), 2)[1].body, r#"{"n":1,"k":"key-1","x":{{other}},"s":0.000000, {{"#);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let path = file("bad-sizes", "5\nfive\n");
        let workload = Workload { sizes: Sizes::File(path.clone()), ..Workload::default() };
        let error = Material::new(&workload).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected bytes up to 20MiB, such as 100 or 1KiB"), "{error}");
        fs::write(&path, "\n").unwrap();
        assert!(matches!(Material::new(&workload), Err(MaterialError::Empty { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(Material::new(&workload), Err(MaterialError::Unreadable { .. })));
    }

    #[test]
    fn a_secret_in_a_paths_place_is_not_repeated() {
        let path = PathBuf::from("Endpoint=sb://ns;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0");
        for workload in [
            Workload { sizes: Sizes::File(path.clone()), ..Workload::default() },
            Workload { keys: Keys::File(path.clone()), ..Workload::default() },
            Workload { bodies: Bodies::Lines(path.clone()), ..Workload::default() },
            Workload { bodies: Bodies::Template(path.clone()), ..Workload::default() },
        ] {
            let error = Material::new(&workload).unwrap_err();
            for text in [error.to_string(), workload.to_string(), serde_json::to_string(&workload).unwrap()] {
                assert!(text.contains("***") && !text.contains("c2VjcmV0"), "{text}");
            }
        }
    }

    #[test]
    fn words_compress_and_random_bytes_do_not() {
        let distinct = |bodies: Bodies| {
            let workload = Workload { bodies, sizes: Sizes::Fixed(4_096), ..Workload::default() };
            let body = &draws(&workload, (0, 1), 1)[0].body;
            body.windows(4).collect::<std::collections::HashSet<_>>().len()
        };
        assert!(distinct(Bodies::Compressible) < 300);
        assert!(distinct(Bodies::Random) > 4_000);
    }
}
