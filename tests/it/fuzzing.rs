//! A little fuzzing with every run of the tests: what fuzzers feed for hours (`make fuzz`) gets its corpus, and many
//! bent copies of it, always the same ones.

use std::{
    fs,
    time::{Duration, Instant},
};

use facegate::fuzzing::TARGETS;

use crate::support::project;

/// Bent copies for each target, at most, and for how long.
const COPIES: u32 = 100_000;
const LONGEST: Duration = Duration::from_secs(4);

/// Longest input, in bytes; larger ones find little more.
const LONGEST_INPUT: usize = 16 << 10;

/// What is put in here and there: what the formats are made of, and numbers at the edges of types.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\r\n",
    b"--x",
    b"--x--\r\n",
    b"\"",
    b"{",
    b"}",
    b"[[",
    b"]",
    b"=",
    b"&",
    b"%00",
    b"%F0%9F",
    b"\xff\xff\xff\xff",
    b"\xff\xd8\xff",
    b"-1",
    b"1e999",
    b"NaN",
    b"18446744073709551616",
    b"9999-12-31",
    b"null",
    b"true",
    b"\xe2\x80\xae",
    b"#",
];

/// Marsaglia's xorshift: the same copies at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

/// A copy of one of the corpus, bent in one to four places.
fn bent(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(32)).min(bytes.len());
        match random.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            2 => drop(bytes.drain(at..to)),
            3 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            4 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            5 => drop(bytes.splice(at..to, WORDS[random.below(WORDS.len())].iter().copied())),
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(LONGEST_INPUT);
    bytes
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = project("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    // The order of a folder is any; the copies are to be the same ones.
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed can be read")).collect()
}

fn fuzz(name: &str) {
    let (_, target) = TARGETS.iter().find(|(other, _)| *other == name).expect("a target of this name");
    let corpus = corpus(name);
    assert!(corpus.len() >= 3, "{name} has {} seeds", corpus.len());
    corpus.iter().for_each(|seed| target(seed));
    let (mut random, begun) = (Random(0x9e37_79b9_7f4a_7c15), Instant::now());
    for _ in 0..COPIES {
        if begun.elapsed() > LONGEST {
            break;
        }
        let input = bent(&corpus, &mut random);
        if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
            eprintln!("{name} panics at: {}", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! targets {
    ($($test:ident $name:literal)+) => {
        $(
            #[test]
            fn $test() {
                fuzz($name);
            }
        )+

        #[test]
        fn every_target_is_fuzzed_here() {
            let here = [$($name),+];
            assert_eq!(TARGETS.map(|(name, _)| name), here);
        }
    };
}

targets! {
    bent_forms_break_nothing "multipart"
    bent_archives_break_nothing "archive"
    bent_images_break_nothing "image"
    bent_metadata_breaks_nothing "metadata"
    bent_queries_break_nothing "query"
    bent_configurations_break_nothing "config"
    bent_manifests_break_nothing "manifest"
    bent_bodies_records_and_words_break_nothing "wire"
    bent_messages_of_the_fleet_break_nothing "fleet"
}
