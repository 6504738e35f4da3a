// What JSON.parse and JSON.stringify of Node make of odd texts: `node corpus.mjs > corpus.jsonl`, one [input, output] a line.
// The host's own reader of old keys is held to it.

/** xorshift32: the same corpus on every machine. */
let seed = 0x9e3779b9;
function random(below) {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % below;
}
const pick = (list) => list[random(list.length)];

const numbers = [
  "0", "-0", "-0.0", "0e5", "1.0", "1.50", "100", "1e2", "1E+2", "10e-1", "0.1", "0.10", "1e21", "1e20", "123456789012345678901",
  "999999999999999900000", "1e-6", "1e-7", "1.5e-7", "0.000001", "0.0000001", "5e-324", "4.9406564584124654e-324", "2.2250738585072014e-308",
  "1.7976931348623157e308", "1e400", "-1e400", "1e-400", "9007199254740991", "9007199254740992", "9007199254740993", "18446744073709551615",
  "0.1e1", "12.34e5", "1234567.891", "-1.5", "4.35", "0.30000000000000004", "123e-20", "1.2e21", "1.25e22", "9.5e-5", "33333333.33333333",
  "123456.789e3", "2e0", "144115188075855870", "1.0000000000000002", "95e-8", "4503599627370496.5", "1e23", "8.41e21", "2.5e-8",
];
const strings = [
  '""', '"a"', '"\\""', '"\\\\"', '"\\/"', '"/"', '"\\b\\f\\n\\r\\t"', '"\\u0000"', '"\\u001f"', '"\\u007f"', '"\\u00e9"', '"é"', '"\\u2028\\u2029"', '"\u2028"',
  '"\\ud83d\\ude00"', '"😀"', '"\\ud800"', '"\\udc00"', '"\\ud800x"', '"x\\udfff\\ud83d"', '"\\uD83D\\uDE00\\uD83D"', '"\\u0041"', '"\\uFFFF"', '"\u0080"', '"a b"', '"\\u000B"',
];
const keys = [
  '"a"', '"b"', '"aa"', '"10"', '"9"', '"0"', '"00"', '"01"', '"-1"', '"1.5"', '"4294967294"', '"4294967295"', '"4294967296"', '"99999999999"', '"__proto__"', '"constructor"',
  '"toJSON"', '""', '"é"', '"\\u0061"', '"\\ud800"', '"1e3"', '" 1"', '"2147483648"', '"length"',
];
const space = () => pick(["", "", "", " ", "\n", "\t", "\r\n", "  "]);

function value(depth) {
  const kind = random(depth > 4 ? 4 : 7);
  if (kind === 0) return pick(["null", "true", "false"]);
  if (kind === 1) return pick(numbers);
  if (kind === 2) return pick(strings);
  if (kind === 3) return number();
  if (kind === 4) return list("[", "]", () => value(depth + 1));
  return list("{", "}", () => `${pick(keys)}${space()}:${space()}${value(depth + 1)}`);
}

function list(open, close, item) {
  const items = Array.from({ length: random(6) }, () => `${space()}${item()}${space()}`);
  return `${open}${items.join(",") || space()}${close}`;
}

/** Any double, written with more digits than it needs. */
function number() {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setUint32(0, (random(0xffffffff) & 0x7fffffff) >>> 0);
  bits.setUint32(4, random(0xffffffff));
  const double = random(2) === 0 ? bits.getFloat64(0) : random(1_000_000_000) / 10 ** random(12);
  return Number.isFinite(double) ? pick([String(double), double.toExponential(), double.toExponential(18)]) : "0";
}

const inputs = [...numbers, ...strings, ...keys.map((key) => `{${key}:1}`)];
// All keys in one object, backwards and twice: the order is JavaScript's, the place the first one's, the value the last one's.
inputs.push(`{${[...keys, ...keys].reverse().map((key, n) => `${key}:${n}`).join(",")}}`);
while (inputs.length < 1_000) inputs.push(`${space()}${value(0)}${space()}`);
process.stdout.write(inputs.map((input) => `${JSON.stringify([input, JSON.stringify(JSON.parse(input))])}\n`).join(""));
