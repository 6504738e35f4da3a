use super::{
    SECTION,
    bytes::{self, component, custom, functions, leb, module, section, with_core},
    manifest, unserved, with_manifest,
};

/// A component that must be refused.
pub struct Hostile {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// The reasons that are right. Where a limit decides, the machine has a say in which limit it is.
    pub reasons: &'static [&'static str],
    /// Part of the detail.
    pub says: &'static str,
    /// The import that is named.
    pub import: Option<&'static str>,
}

impl Hostile {
    fn new(name: &'static str, bytes: Vec<u8>, reasons: &'static [&'static str], says: &'static str) -> Self {
        Self { name, bytes, reasons, says, import: None }
    }

    fn by_import(name: &'static str, import: &'static str) -> Self {
        let text = format!("(import \"{import}\" (instance))");
        let bytes = packed(&text);
        Self { import: Some(import), ..Self::new(name, bytes, &["import-not-granted"], import) }
    }
}

const LINK: &[&str] = &["does-not-link"];
const START: &[&str] = &["does-not-instantiate"];
const COMPILER: &[&str] = &["compile-error"];
/// The compiler goes as deep as its input: its stack ends where its memory does.
const STACK: &[&str] = &["compile-error", "compile-memory"];
/// A proposal that is off, or was not even compiled in; or more than the pool has.
const OFF: &[&str] = &["compile-error", "does-not-link"];
const MANIFEST: &[&str] = &["manifest-invalid"];
/// Of what takes the compiler long, or much memory: either limit, or neither, and then it is the component of no plugin.
const BOUNDS: &[&str] = &["compile-time", "compile-memory", "compile-error", "does-not-link"];

/// A component of this text, with a good manifest.
fn packed(text: &str) -> Vec<u8> {
    good_manifest(&wat::parse_str(format!("(component {text})")).unwrap())
}

fn good_manifest(component: &[u8]) -> Vec<u8> {
    with_manifest(component, &manifest("hostile", "hostile", ""))
}

fn around(module: &[u8]) -> Vec<u8> {
    good_manifest(&component(&[section(1, module)]))
}

/// A handler of this type, by whatever name.
fn handler(name: &str, process: &str) -> String {
    format!(
        "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
         (func $f (canon lift (core func $i \"f\")))
         (instance $h (export \"{process}\" (func $f))) (export \"{name}\" (instance $h))"
    )
}

/// Of this version of the contract, whose `log` has a function more than the one that is served.
pub fn newer_function(version: &str) -> Vec<u8> {
    packed(&format!(
        "(import \"usher:plugin/log@{version}\" (instance
            (type $level' (enum \"debug\" \"info\" \"warn\" \"error\"))
            (export \"level\" (type $level (eq $level')))
            (type $pair (tuple string string))
            (type $pairs (list $pair))
            (export \"write\" (func (param \"level\" $level) (param \"message\" string) (param \"fields\" $pairs)))
            (export \"flush\" (func))))"
    ))
}

/// Components of the wrong sort: each is told by its reason, most before anything is compiled.
pub fn wrong_sort() -> Vec<Hostile> {
    let empty = wat::parse_str("(component)").unwrap();
    let good = good_manifest(&empty);
    let packed_empty = |data: &[u8]| [empty.clone(), custom(SECTION, data)].concat();
    let mut newer_format = good.clone();
    newer_format[4] = 0x0e;
    let long = "_".repeat(90_000);
    let mut all = vec![
        Hostile::new("text", b"#!/bin/sh".to_vec(), &["not-wasm"], "no WebAssembly"),
        Hostile::new("nothing", Vec::new(), &["not-wasm"], "no WebAssembly"),
        Hostile::new("four bytes", b"\0asm".to_vec(), &["damaged"], ""),
        Hostile::new("a core module", wat::parse_str("(module)").unwrap(), &["core-module"], "usher plugin pack"),
        Hostile::new("a newer binary format", newer_format, &["damaged"], ""),
        Hostile::new("no manifest", empty.clone(), &["no-manifest"], "usher plugin pack"),
        Hostile::new("a manifest within", component(&[section(4, &good)]), &["no-manifest"], ""),
        Hostile::new("cut short", good[..good.len() - 20].to_vec(), &["damaged"], "cut short"),
        Hostile::new("two manifests", good_manifest(&good), MANIFEST, "there twice"),
        Hostile::new("five megabytes of manifest", packed_empty(&vec![b' '; 5 << 20]), MANIFEST, "too large"),
        Hostile::new("a manifest that is no text", packed_empty(b"{\"manifest\": \"\xff\xfe\"}"), MANIFEST, SECTION),
        Hostile::new("a manifest that is a list", packed_empty(b"[[[[]]]]"), MANIFEST, SECTION),
        Hostile::new("a manifest without files", packed_empty(b"{\"manifest\": \"\"}"), MANIFEST, "files"),
        Hostile::new("a manifest nested deep", packed_empty("[".repeat(100_000).as_bytes()), MANIFEST, SECTION),
        Hostile::new("no handler", good.clone(), LINK, "handler"),
        Hostile::new("another world", packed(&handler("wasi:cli/run@0.2.0", "run")), LINK, "handler"),
        Hostile::new(
            "a newer track of the handler",
            packed(&handler("usher:plugin/handler@0.2.0", "process")),
            LINK,
            "0.1.0",
        ),
        Hostile::new(
            "a handler without process",
            packed(&handler("usher:plugin/handler@0.1.0", "other")),
            LINK,
            "process",
        ),
        Hostile::new(
            "a handler of another type",
            packed(&handler("usher:plugin/handler@0.1.0", "process")),
            &["does-not-instantiate", "does-not-link"],
            "",
        ),
        Hostile::new(
            "an interface that is a function",
            packed("(import \"usher:plugin/log@0.1.0\" (func))"),
            &["does-not-link", "compile-error"],
            "",
        ),
        Hostile::new("a function that is newer than the host", newer_function("0.1.0"), LINK, "flush"),
        Hostile::new("more imports than any", packed(&names("import", 1_001)), &["too-complex"], "more imports"),
        Hostile::new("more exports than any", more_exports(), &["too-complex"], "more exports"),
        Hostile::new("an import of a long name", packed(&format!("(import \"{long}\" (func))")), &["damaged"], ""),
        Hostile::new("an import of two lines", packed("(import \"a\\nb\" (func))"), &["damaged"], ""),
        // The compiler says so in as many words as the name has.
        Hostile::new("a long name within", packed(&format!("(component (import \"{long}\" (func)))")), COMPILER, ""),
        Hostile::new("components nested deep", nested_components(1_000), &["too-complex"], "nested deeper"),
        Hostile::new("component types nested deep", nested_types(100_000), STACK, ""),
        Hostile::new("lists nested deep", packed(&types(1_000, "list")), COMPILER, ""),
        Hostile::new("tuples that double", packed(&types(60, "tuple")), COMPILER, ""),
        Hostile::new("a thousand and one core modules", packed(&"(core module)".repeat(1_001)), COMPILER, ""),
        Hostile::new(
            "a thousand and one components",
            packed(&"(component)".repeat(1_001)),
            &["too-complex"],
            "more components",
        ),
        Hostile::new("five thousand instances", packed(&many_instances(5_000)), COMPILER, ""),
        Hostile::new("a million and one functions", around(&functions(1_000_001, &[0, 0x0b])), COMPILER, ""),
        Hostile::new(
            "a function of eight megabytes",
            around(&functions(1, &giant(2_600_000))),
            &["compile-error", "damaged"],
            "",
        ),
        Hostile::new("more locals than may be", around(&functions(1, &locals(50_001))), COMPILER, ""),
        Hostile::new("four billion locals", around(&functions(1, &locals(u32::MAX as usize))), COMPILER, ""),
        Hostile::new("a table of twenty million", core("(table 20000000 funcref)"), OFF, ""),
        Hostile::new("shared memory", core("(memory 1 1 shared)"), OFF, ""),
        Hostile::new("64-bit memory", core("(memory i64 1)"), OFF, ""),
        Hostile::new("exceptions", core("(tag)"), OFF, ""),
        Hostile::new("garbage collection", core("(type $s (struct)) (func (drop (struct.new $s)))"), OFF, ""),
    ];
    all.push(Hostile {
        import: Some("usher:plugin/solano@0.1.0"),
        ..Hostile::new("an interface of nobody's", unserved(), &["import-not-granted"], "solano")
    });
    all.extend([
        Hostile::by_import("a newer track", "usher:plugin/log@0.2.0"),
        Hostile::by_import("the next release of WASI", "wasi:cli/environment@0.3.0"),
        Hostile::by_import("sockets", "wasi:sockets/tcp@0.2.3"),
        Hostile::by_import("http out", "wasi:http/outgoing-handler@0.2.3"),
        Hostile::by_import("http in", "wasi:http/types@0.2.0"),
        Hostile::by_import("a mail that was not granted", "usher:plugin/email@0.1.0"),
        Hostile::by_import("a function of some host", "env"),
    ]);
    all
}

/// Otherwise good components that run into the pool or a limit when they are instantiated. `good` is one without these.
pub fn walls(good: &[u8]) -> Vec<Hostile> {
    let with = |text: &str| with_core(good, &wat::parse_str(format!("(module {text})")).unwrap(), 1);
    let globals = "(global (mut i32) (i32.const 0))".repeat(100_000);
    vec![
        Hostile::new("a start function that loops", with("(func $f (loop (br 0))) (start $f)"), START, "CPU budget"),
        Hostile::new("a start function that recurses", with("(func $f (call $f)) (start $f)"), START, "stack"),
        Hostile::new("a start function that traps", with("(func $f unreachable) (start $f)"), START, "unreachable"),
        Hostile::new(
            "a start function that takes all memory",
            with(
                "(memory 1) (func $f (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable) (start $f)",
            ),
            START,
            "unreachable",
        ),
        Hostile::new("two memories", with("(memory 1) (memory 1)"), LINK, "memories count of 2"),
        Hostile::new("four gigabytes of memory", with("(memory 65536)"), LINK, "exceeds the limit"),
        Hostile::new("more memory than its own limit", with("(memory 2048)"), START, "memory"),
        Hostile::new("a table of two hundred thousand", with("(table 200000 funcref)"), LINK, "table"),
        Hostile::new(
            "data beyond its memory",
            with("(memory 1) (data (i32.const 65530) \"more than that\")"),
            START,
            "",
        ),
        Hostile::new(
            "elements beyond its table",
            with("(table 1 funcref) (func $f) (elem (i32.const 5) $f)"),
            START,
            "",
        ),
        Hostile::new("a hundred thousand globals", with(&globals), LINK, "instance size"),
        Hostile::new("65 core instances more", with_core(good, &bytes::MODULE, 65), LINK, "core module instances"),
        Hostile::new("thirty megabytes of data", with_core(good, &data(30 << 20), 1), START, ""),
    ]
}

/// What is small to ship and much to compile.
pub fn bombs() -> Vec<Hostile> {
    let bomb = |name, bytes| Hostile::new(name, bytes, BOUNDS, "");
    vec![
        bomb("locals and branches, each with each", good_manifest(&super::bomb(16_000))),
        bomb("a million functions", around(&functions(1_000_000, &[0, 0x0b]))),
        bomb("a table of seven million branches", around(&functions(1, &branches(7_000_000)))),
        bomb("a million blocks in each other", around(&functions(1, &blocks(1_000_000)))),
        bomb("one function of seven megabytes", around(&functions(1, &giant(2_500_000)))),
        bomb("fifty thousand locals in a hundred functions", around(&functions(100, &locals(50_000)))),
        bomb("components that double", packed(&doubling(30))),
        bomb("a hundred thousand aliases", packed(&aliases(100_000))),
    ]
}

fn core(text: &str) -> Vec<u8> {
    packed(&format!("(core module {text})"))
}

fn names(what: &str, count: usize) -> String {
    (0..count).map(|n| format!("({what} \"n{n}\" (func))")).collect()
}

fn more_exports() -> Vec<u8> {
    let exports: String = (0..=1_000).map(|n| format!("(export \"n{n}\" (func $f))")).collect();
    packed(&format!(
        "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
         (func $f (canon lift (core func $i \"f\"))) {exports}"
    ))
}

fn nested_components(depth: usize) -> Vec<u8> {
    good_manifest(&(0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)])))
}

/// A component type that declares one, which declares one, …
fn nested_types(depth: usize) -> Vec<u8> {
    let content = [vec![1_u8], [0x41, 1, 1].repeat(depth), vec![0x41, 0]].concat();
    good_manifest(&component(&[section(7, &content)]))
}

/// Types that are each made of the one before.
fn types(count: usize, of: &str) -> String {
    let mut text = "(type $t0 (list u8))".to_owned();
    for n in 1..count {
        let before = format!("$t{}", n - 1);
        let inner = if of == "tuple" { format!("{before} {before}") } else { before };
        text.push_str(&format!("(type $t{n} ({of} {inner}))"));
    }
    text
}

fn many_instances(count: usize) -> String {
    format!("(component $c) {}", "(instance (instantiate $c))".repeat(count))
}

/// Each holds two instances of the one before: the last has 2 to the power of `levels` core instances.
fn doubling(levels: usize) -> String {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for n in 1..=levels {
        text.push_str(&format!(
            "(component $c{n} (alias outer 1 $c{} (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))",
            n - 1
        ));
    }
    text + &format!("(instance (instantiate $c{levels}))")
}

fn aliases(count: usize) -> String {
    let alias = "(alias core export $i \"f\" (core func))".repeat(count);
    format!("(core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {alias}")
}

/// Of a function: it puts a number on the stack and takes it off again, so many times.
fn giant(times: usize) -> Vec<u8> {
    [vec![0_u8], [0x41, 1, 0x1a].repeat(times), vec![0x0b]].concat()
}

fn locals(count: usize) -> Vec<u8> {
    [vec![1_u8], leb(count), vec![0x7f, 0x0b]].concat()
}

fn branches(count: usize) -> Vec<u8> {
    [vec![0, 0x02, 0x40, 0x41, 0, 0x0e], leb(count), vec![0; count + 1], vec![0x0b, 0x0b]].concat()
}

fn blocks(depth: usize) -> Vec<u8> {
    [vec![0_u8], [0x02, 0x40].repeat(depth), vec![0x0b; depth + 1]].concat()
}

/// A module whose data lies beyond its one page for the most part.
fn data(size: usize) -> Vec<u8> {
    let segment = [vec![1, 0, 0x41, 0, 0x0b], leb(size), vec![b'x'; size]].concat();
    module(&[section(5, &[1, 0, 1]), section(11, &segment)])
}
