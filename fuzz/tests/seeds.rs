//! Every target over its seeds and over thousands of inputs made from them, the same each time.
#![expect(clippy::expect_used, reason = "a test that cannot read its inputs must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sallygate_fuzz::TARGETS;

/// Inputs made from each seed.
const MUTATIONS: usize = 4_000;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = here().join("seeds").join(target);
    let entries = fs::read_dir(&folder).expect("a folder of seeds");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("a seed");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// A small generator (xorshift): the inputs are the same on every machine and in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let sides = u64::try_from(sides).unwrap_or(1).max(1);
        usize::try_from(self.0 % sides).unwrap_or(0)
    }
}

/// What breaks readers: bytes that mean something, in places where they do not belong.
const TELLING: &[u8] = b"\0\r\n\t /\\%.:;@?#[]{}*\"'=&+,<>|\x7f\x80\xff0aA";

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.roll(bytes.len() + 1);
    let end = (at + dice.roll(24)).min(bytes.len());
    match dice.roll(6) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let piece: Vec<u8> = bytes.get(at..end).unwrap_or_default().to_vec();
            let to = dice.roll(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.roll(8);
            }
        }
        _ => {
            let byte = TELLING.get(dice.roll(TELLING.len())).copied();
            bytes.splice(at..at, byte);
        }
    }
}

#[test]
fn every_promise_holds_for_seeds_and_what_is_made_of_them() {
    for (name, target) in TARGETS {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let seeds = seeds(name);
        assert!(seeds.len() >= 3, "`{name}` has too few seeds");
        for (path, seed) in seeds {
            target(&seed);
            let mut bytes = seed.clone();
            for round in 0..MUTATIONS {
                if round % 8 == 0 {
                    bytes.clone_from(&seed);
                }
                mutate(&mut bytes, &mut dice);
                let shown = || format!("{}: {}", path.display(), bytes.escape_ascii());
                let outcome = std::panic::catch_unwind(|| target(&bytes));
                assert!(outcome.is_ok(), "{name}: {}", shown());
            }
        }
    }
}

#[test]
fn every_target_has_a_program_and_seeds() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(here().join(folder)).expect("a folder");
        let name = |entry: fs::DirEntry| entry.path().file_stem()?.to_str().map(str::to_owned);
        entries.flatten().filter_map(name).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
}
