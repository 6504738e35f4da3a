//! Mutations of honest plugins. Each follows from the seed and its number.

use std::ops::Range;

use serde_json::Value;

use crate::{
    rng::Rng,
    seeds::Seed,
    support::hostile::bytes::{leb, read_leb, section, sections},
};

/// Id of a core module in a component.
const CORE_MODULE: u8 = 1;
/// One in so many is of the large seed.
const RARE: u64 = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Some bits, anywhere.
    Flip,
    /// A few bytes in a row.
    Overwrite,
    Truncate,
    Append,
    /// Sections dropped, doubled, swapped.
    Sections,
    /// A section of another plugin.
    Splice,
    /// What a section says of its length.
    Length,
    /// What a section says of its items' number.
    Count,
    /// Bits of the code, all lengths being right.
    CoreFlip,
    CoreSections,
    CoreLength,
    CoreCount,
    /// A character of the manifest.
    ManifestCharacter,
    ManifestLine,
    Schema,
}

const KINDS: [Kind; 15] = [
    Kind::Flip,
    Kind::Overwrite,
    Kind::Truncate,
    Kind::Append,
    Kind::Sections,
    Kind::Splice,
    Kind::Length,
    Kind::Count,
    Kind::CoreFlip,
    Kind::CoreSections,
    Kind::CoreLength,
    Kind::CoreCount,
    Kind::ManifestCharacter,
    Kind::ManifestLine,
    Kind::Schema,
];

pub struct Mutant {
    pub kind: Kind,
    /// Its place among the seeds.
    pub of: usize,
    pub bytes: Vec<u8>,
}

impl Mutant {
    pub fn new(seed: u64, n: u64, seeds: &[Seed]) -> Self {
        let mut rng = Rng::fork(seed, n);
        let large = seeds.len() - 1;
        let of = if rng.below(RARE) == 0 { large } else { rng.index(large) };
        let kind = KINDS[rng.index(KINDS.len())];
        let bytes = mutated(kind, &mut rng, n, of, seeds);
        Self { kind, of, bytes }
    }
}

fn mutated(kind: Kind, rng: &mut Rng, n: u64, of: usize, seeds: &[Seed]) -> Vec<u8> {
    let seed = &seeds[of];
    let manifest = seed.manifest_of(n);
    let whole = seed.packed(&manifest, &seed.files);
    match kind {
        Kind::Flip => flipped(rng, whole),
        Kind::Overwrite => overwritten(rng, whole),
        Kind::Truncate => whole[..rng.index(whole.len())].to_vec(),
        Kind::Append => [whole, noise(rng, 64)].concat(),
        Kind::Sections => reordered(rng, &whole),
        Kind::Splice => {
            let other = &seeds[rng.index(seeds.len() - 1)];
            spliced(rng, &whole, &other.packed(&other.manifest, &other.files))
        }
        Kind::Length => with_length(rng, &whole),
        Kind::Count => with_count(rng, &whole),
        Kind::CoreFlip => in_core(&whole, |module| flipped(rng, module)),
        Kind::CoreSections => in_core(&whole, |module| reordered(rng, &module)),
        Kind::CoreLength => in_core(&whole, |module| with_length(rng, &module)),
        Kind::CoreCount => in_core(&whole, |module| with_count(rng, &module)),
        Kind::ManifestCharacter => seed.packed(&with_character(rng, &manifest), &seed.files),
        Kind::ManifestLine => seed.packed(&with_line(rng, &manifest), &seed.files),
        Kind::Schema => seed.packed(&manifest, &with_other_schema(rng, &seed.files)),
    }
}

/// Up to so many bytes.
fn noise(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..=rng.index(most)).map(|_| rng.next() as u8).collect()
}

fn flipped(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=rng.below(8) {
        let at = rng.index(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }
    bytes
}

fn overwritten(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    let new = noise(rng, 32);
    let at = rng.index(bytes.len());
    let end = bytes.len().min(at + new.len());
    drop(bytes.splice(at..end, new));
    bytes
}

/// The head, and each section whole.
fn parts(bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let sections = sections(bytes).into_iter().map(|(_, range)| bytes[range].to_vec()).collect();
    (bytes[..8.min(bytes.len())].to_vec(), sections)
}

fn whole(head: Vec<u8>, sections: &[Vec<u8>]) -> Vec<u8> {
    [head, sections.concat()].concat()
}

fn reordered(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let (head, mut sections) = parts(bytes);
    let (one, other) = (rng.index(sections.len()), rng.index(sections.len()));
    match rng.below(4) {
        0 => drop(sections.remove(one)),
        1 => sections.insert(other, sections[one].clone()),
        2 => sections.swap(one, other),
        _ => rng.shuffle(&mut sections),
    }
    whole(head, &sections)
}

fn spliced(rng: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let ((head, mut sections), (_, foreign)) = (parts(bytes), parts(other));
    let at = rng.index(sections.len());
    let section = foreign[rng.index(foreign.len())].clone();
    if rng.below(2) == 0 {
        sections.insert(at, section);
    } else {
        sections[at] = section;
    }
    whole(head, &sections)
}

/// One of its sections, and what it holds.
fn one_of(rng: &mut Rng, bytes: &[u8]) -> (u8, Range<usize>, Range<usize>) {
    let all = sections(bytes);
    let (id, range) = all[rng.index(all.len())].clone();
    let (_, content) = read_leb(bytes, range.start + 1).unwrap();
    let end = range.end;
    (id, range, content..end)
}

/// A number near another, or far from it.
fn another(rng: &mut Rng, number: usize) -> usize {
    match rng.below(5) {
        0 => number + 1,
        1 => number.saturating_sub(1),
        2 => number.saturating_mul(2),
        3 => 0,
        _ => u32::MAX as usize,
    }
}

fn with_length(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let (id, range, content) = one_of(rng, bytes);
    let length = if rng.below(6) == 0 {
        // The same number, in more bytes than it needs.
        let mut long = leb(content.len());
        let last = long.len() - 1;
        long[last] |= 0x80;
        long.push(0);
        long
    } else {
        leb(another(rng, content.len()))
    };
    [&bytes[..range.start], &[id], &length, &bytes[content.start..]].concat()
}

fn with_count(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let (id, range, content) = one_of(rng, bytes);
    let Some((count, items)) = read_leb(bytes, content.start) else { return bytes.to_vec() };
    let items = items.min(content.end);
    let content = [leb(another(rng, count)).as_slice(), &bytes[items..content.end]].concat();
    [&bytes[..range.start], &section(id, &content), &bytes[range.end..]].concat()
}

/// The largest core module is another one, and all around it is right.
fn in_core(bytes: &[u8], change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let modules = sections(bytes).into_iter().filter(|(id, _)| *id == CORE_MODULE).map(|(_, range)| range);
    // A mutation of a mutation may have none.
    let Some(range) = modules.max_by_key(ExactSizeIterator::len) else { return bytes.to_vec() };
    let Some((_, content)) = read_leb(bytes, range.start + 1) else { return bytes.to_vec() };
    let module = change(bytes[content..range.end].to_vec());
    [&bytes[..range.start], &section(CORE_MODULE, &module), &bytes[range.end..]].concat()
}

/// Signs of TOML and JSON, and some that are in neither.
const SIGNS: [&str; 16] =
    ["\"", "'", "[", "]", "{", "}", "=", "#", "\n", "\\", "\0", ".", "-", "9999999999", "\u{202e}", "\u{1f39f}"];

fn with_character(rng: &mut Rng, text: &str) -> String {
    let mut characters: Vec<String> = text.chars().map(String::from).collect();
    for _ in 0..=rng.below(3) {
        let at = rng.index(characters.len());
        let sign = SIGNS[rng.index(SIGNS.len())].to_owned();
        match rng.below(3) {
            0 => characters[at] = sign,
            1 => characters.insert(at, sign),
            _ => characters[at].clear(),
        }
    }
    characters.concat()
}

fn with_line(rng: &mut Rng, text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    let (one, other) = (rng.index(lines.len()), rng.index(lines.len()));
    match rng.below(3) {
        0 => {
            lines.remove(one);
        }
        1 => lines.insert(other, lines[one]),
        _ => lines.swap(one, other),
    }
    lines.join("\n") + "\n"
}

fn with_other_schema(rng: &mut Rng, files: &Value) -> Value {
    let mut files = files.clone();
    if let Some(map) = files.as_object_mut() {
        for file in map.values_mut() {
            *file = with_character(rng, file.as_str().unwrap_or_default()).into();
        }
    }
    files
}
