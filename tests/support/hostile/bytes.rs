//! As much of the binary format of components as it takes to write what no toolchain writes.

use std::ops::Range;

/// What a component begins with, and a core module.
pub const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
pub const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// A number as LEB128.
pub fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// A number as LEB128, and where it ends; `None` where there is none.
pub fn read_leb(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (n, byte) in bytes.get(from..)?.iter().take(5).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((number, from + n + 1));
        }
    }
    None
}

pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![id];
    all.extend(leb(content.len()));
    all.extend(content);
    all
}

pub fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    section(0, &[leb(name.len()).as_slice(), name.as_bytes(), data].concat())
}

pub fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [COMPONENT.to_vec(), sections.concat()].concat()
}

pub fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [MODULE.to_vec(), sections.concat()].concat()
}

/// The sections at the top of a component or module, each with its id; as far as they can be read.
pub fn sections(bytes: &[u8]) -> Vec<(u8, Range<usize>)> {
    let (mut at, mut found) = (MODULE.len(), Vec::new());
    while let Some(id) = bytes.get(at) {
        let Some((size, content)) = read_leb(bytes, at + 1) else { break };
        let end = content + size;
        if end > bytes.len() {
            break;
        }
        found.push((*id, at..end));
        at = end;
    }
    found
}

/// A component that holds so many instances of one more core module.
pub fn with_core(whole: &[u8], module: &[u8], instances: usize) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCE: u8 = 2;
    let index = sections(whole).iter().filter(|(id, _)| *id == CORE_MODULE).count();
    let mut made = leb(instances);
    for _ in 0..instances {
        // Of that module, given nothing.
        made.push(0);
        made.extend(leb(index));
        made.push(0);
    }
    [whole, &section(CORE_MODULE, module), &section(CORE_INSTANCE, &made)].concat()
}

/// A core module of so many functions without parameters and results, all of this body.
pub fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    let one = [leb(body.len()).as_slice(), body].concat();
    module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(count), vec![0; count]].concat()),
        section(10, &[leb(count), one.repeat(count)].concat()),
    ])
}
