"use strict";
/* The network: memory, product, layers, texts as symbols, and what follows. The page is in page.js. */
const model = JSON.parse(document.getElementById("model").textContent);
const about = model.about, H = about.hidden_size, L = about.num_layers, D = about.directions;
const PANEL = 32, tied = about.embedding === "tied", gates = { lstm: 4, gru: 3, rnn: 1 }[about.cell];
const translates = about.task === "translate";
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const follow = about.follow ? bytes(about.follow) : null;
const symbols = about.symbols || [null, ...Array(256).keys()];
const ids = new Map(symbols.map((text, k) => [text, k]).filter(([text, k]) => k || text === "\n" && about.newline === 0));

/* The memory: numbers of 4 bytes. A matrix lies in panels of 32 rows, in each column after column. */
const pad = n => Math.ceil(n / PANEL) * PANEL;
const sizes = Object.values(about.tensors);
const widest = pad(Math.max(gates * H, (1 + D) * H, ...sizes.map(([rows]) => rows)));
let F, product, free = 0, total = 8 * widest;
for (const [rows, columns] of sizes) total += pad(rows) * (columns || 1);
function plainProduct(y, w, x, b, panels, columns) { /* y = W x + b */
  for (let p = 0; p < panels; p++) {
    for (let r = 0; r < PANEL; r += 8) {
      const o = p * PANEL + r;
      let s0 = F[b+o], s1 = F[b+o+1], s2 = F[b+o+2], s3 = F[b+o+3], s4 = F[b+o+4], s5 = F[b+o+5], s6 = F[b+o+6], s7 = F[b+o+7];
      for (let c = 0, a = w + p * PANEL * columns + r; c < columns; c++, a += PANEL) {
        const v = F[x+c];
        s0 += F[a]*v; s1 += F[a+1]*v; s2 += F[a+2]*v; s3 += F[a+3]*v; s4 += F[a+4]*v; s5 += F[a+5]*v; s6 += F[a+6]*v; s7 += F[a+7]*v;
      }
      F[y+o] = s0; F[y+o+1] = s1; F[y+o+2] = s2; F[y+o+3] = s3; F[y+o+4] = s4; F[y+o+5] = s5; F[y+o+6] = s6; F[y+o+7] = s7;
    }
  }
}
let fast = null;
try {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(total / 16384) });
  const made = new WebAssembly.Instance(new WebAssembly.Module(bytes(model.module)), { env: { __linear_memory: memory } });
  F = new Float32Array(memory.buffer);
  fast = (y, w, x, b, panels, columns) => made.exports.product(4 * y, 4 * w, 4 * x, 4 * b, panels, columns);
} catch (problem) { F = new Float32Array(total); }
product = fast || plainProduct;
const room = n => { const at = free; free += pad(n); return at; };
const raw = bytes(model.weights), tensors = {};
{
  let at = 0;
  for (const [name, shape] of Object.entries(about.tensors)) {
    const n = shape.reduce((a, b) => a * b, 1), values = new Float32Array(n), bits = new Uint32Array(values.buffer);
    if (about.int8 && shape.length === 2) { /* rows of 8-bit integers, then a scale for each row */
      const scales = new DataView(raw.buffer, at + n, 4 * shape[0]);
      for (let k = 0; k < n; k++) values[k] = (raw[at + k] << 24 >> 24) * scales.getFloat32(4 * Math.floor(k / shape[1]), true);
      at += n + 4 * shape[0];
    } else for (let k = 0; k < n; k++, at += 2) bits[k] = (raw[at] | raw[at + 1] << 8) << 16;
    tensors[name] = values;
  }
}
const [A, U, X, HS, Y, none] = Array.from({ length: 6 }, () => room(widest)); /* none: a bias of zeros */
function packed(name) {
  const [rows, columns] = about.tensors[name], at = room(pad(rows) * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++)
    F[at + (Math.floor(r / PANEL) * columns + c) * PANEL + r % PANEL] = tensors[name][r * columns + c];
  return { at, rows, columns, panels: pad(rows) / PANEL };
}
function vector(name) { const at = room(tensors[name].length); F.set(tensors[name], at); return at; }
const linear = (name, bias) => ({ ...packed(name), bias: bias ? vector(bias) : none });
function apply(map, x) { /* W x + b */
  F.set(x, X);
  product(Y, map.at, X, map.bias, map.panels, map.columns);
  return F.slice(Y, Y + map.rows);
}
function stack(prefix, directions, dense) { /* the layers of a network, each in its directions; `dense`: layer 0 reads numbers */
  const runs = [];
  for (let layer = 0; layer < L; layer++) for (let direction = 0; direction < directions; direction++) {
    const s = "l" + layer + (direction ? "_reverse" : ""), name = `${prefix}.weight_ih_${s}`;
    runs.push({ own: layer || dense ? packed(name) : null, one: tensors[name], columns: about.tensors[name][1],
      again: packed(`${prefix}.weight_hh_${s}`), bi: vector(`${prefix}.bias_ih_${s}`), bh: vector(`${prefix}.bias_hh_${s}`) });
  }
  return runs;
}
const runs = translates ? stack("encoder", D, false) : stack("rnn", D, tied);
const readout = translates ? linear("output.weight", "output.bias") : linear(tied ? "encoder.weight" : "decoder.weight", "decoder.bias");
const pair = translates && { runs: stack("decoder", 1, false), keys: linear("attention.weight"),
  combine: linear("combine.weight", "combine.bias"), bridge: linear("bridge.weight", "bridge.bias") };
const V = readout.rows;
const sigmoid = a => 1 / (1 + Math.exp(-a));
const activation = { tanh: Math.tanh, relu: a => Math.max(a, 0), sigmoid }[about.activation];

function step(run, state, symbol, label) { /* one step of a layer; the input is a symbol, or lies at X */
  if (run.own) product(A, run.own.at, X, run.bi, run.own.panels, run.own.columns);
  else {
    const I = run.columns, rows = gates * H;
    for (let r = 0; r < rows; r++) F[A + r] = run.one[r * I + symbol] + F[run.bi + r];
    if (about.labels.length) for (let r = 0; r < rows; r++) F[A + r] += run.one[r * I + symbols.length + label];
  }
  const { h, c } = state;
  F.set(h, HS);
  product(U, run.again.at, HS, run.bh, run.again.panels, run.again.columns);
  for (let j = 0; j < H; j++) {
    if (about.cell === "lstm") {
      c[j] = sigmoid(F[A+H+j] + F[U+H+j]) * c[j] + sigmoid(F[A+j] + F[U+j]) * Math.tanh(F[A+2*H+j] + F[U+2*H+j]);
      h[j] = sigmoid(F[A+3*H+j] + F[U+3*H+j]) * Math.tanh(c[j]);
    } else if (about.cell === "gru") {
      const r = sigmoid(F[A+j] + F[U+j]), z = sigmoid(F[A+H+j] + F[U+H+j]);
      h[j] = (1 - z) * Math.tanh(F[A+2*H+j] + r * F[U+2*H+j]) + z * h[j];
    } else h[j] = activation(F[A+j] + F[U+j]);
  }
}
const zeros = runs => runs.map(() => ({ h: new Float32Array(H), c: new Float32Array(H) }));
const fresh = () => ({ runs: zeros(runs), mean: new Float32Array(D * H), steps: 0, allowed: 0 });
function upwards(runs, states, symbol, label) { /* one symbol through layers of one direction; returns the output */
  if (tied) F.set(tensors["encoder.weight"].subarray(symbol * H, symbol * H + H), X);
  runs.forEach((run, layer) => { step(run, states[layer], symbol, label); F.set(states[layer].h, X); });
  return states[L - 1].h;
}
function readOut(state, output) {
  if (about.readout === "mean") {
    state.steps++;
    for (let j = 0; j < D * H; j++) state.mean[j] += (output[j] - state.mean[j]) / state.steps;
    output = state.mean;
  }
  return apply(readout, output);
}
function read(state, symbol, label) { /* one symbol, for a model of one direction; returns the logits */
  const output = upwards(runs, state.runs, symbol, label);
  if (follow && symbol) { const next = follow[state.allowed * V + symbol]; if (next !== 255) state.allowed = next; }
  return readOut(state, output);
}
function outputsOf(text, label) { /* a whole text; returns the outputs of the last layer at each symbol */
  const states = zeros(runs);
  let xs = text;
  for (let layer = 0; layer < L; layer++) {
    const ys = text.map(() => new Float32Array(D * H));
    for (let d = 0; d < D; d++) for (let t = 0; t < text.length; t++) {
      const at = d ? text.length - 1 - t : t, run = D * layer + d;
      if (layer) F.set(xs[at], X);
      else if (tied) F.set(tensors["encoder.weight"].subarray(text[at] * H, text[at] * H + H), X);
      step(runs[run], states[run], text[at], label);
      ys[at].set(states[run].h, d * H);
    }
    xs = ys;
  }
  return xs;
}
function readAll(text, label) { /* a whole text; returns the logits after each symbol */
  const state = fresh();
  return outputsOf(text, label).map(x => readOut(state, x));
}
function decoder(source) { /* reads a source; returns a function of a symbol that gives the logits of the next, and the attention */
  const E = outputsOf(source, 0), keys = E.map(e => apply(pair.keys, e));
  const end = E.at(-1).slice();
  if (D > 1) end.set(E[0].subarray(H), H);
  const initial = apply(pair.bridge, end).map(Math.tanh), S = about.cell === "lstm" ? 2 : 1;
  const part = k => initial.slice(k * H, k * H + H);
  const states = pair.runs.map((_, layer) => ({ h: part(layer * S), c: part(layer * S + S - 1) }));
  return symbol => {
    const d = upwards(pair.runs, states, symbol, 0);
    const weights = softmax(keys.map(key => key.reduce((sum, k, j) => sum + k * d[j], 0)));
    const both = new Float32Array((1 + D) * H);
    both.set(d);
    E.forEach((e, s) => { for (let j = 0; j < D * H; j++) both[H + j] += weights[s] * e[j]; });
    return { logits: apply(readout, apply(pair.combine, both).map(Math.tanh)), weights };
  };
}
function softmax(scores) {
  const top = scores.reduce((a, b) => Math.max(a, b)), e = Array.from(scores, s => Math.exp(s - top)), sum = e.reduce((a, b) => a + b);
  return e.map(x => x / sum);
}
function translate(text) { /* [symbol, probability] of the most probable next symbols */
  const next = decoder([...encode(text).slice(1), 0]), found = [];
  for (let symbol = 0; found.length < 2 * about.longest + 8;) {
    const probs = softmax(next(symbol).logits);
    symbol = probs.reduce((best, p, k) => p > probs[best] ? k : best, 0);
    if (!symbol) break;
    found.push([symbol, probs[symbol]]);
  }
  return found;
}
function bestTags(logits) { /* the most probable sequence that is valid (Viterbi) */
  const allowed = about.allowed || Array(V + 1).fill(Array(V).fill(1)), back = [];
  let scores = null;
  for (const own of logits) {
    const before = [], after = [];
    for (let k = 0; k < V; k++) {
      let best = -1;
      if (scores) for (let j = 0; j < V; j++) if (allowed[j][k] && (best < 0 || scores[j] > scores[best])) best = j;
      before.push(best);
      after.push(own[k] + (scores ? (best < 0 ? -Infinity : scores[best]) : allowed[V][k] ? 0 : -Infinity));
    }
    back.push(before);
    scores = after;
  }
  const tags = [];
  for (let t = logits.length - 1, k = scores ? scores.indexOf(Math.max(...scores)) : 0; t >= 0; k = back[t--][k]) tags.unshift(k);
  return tags;
}
function encode(text) {
  let pieces = [];
  if (about.form) text = text.normalize(about.form);
  if (about.kind === "words") pieces = text.replaceAll("\n", " \n ").split(/[ \t\r]/).filter(word => word);
  else if (about.kind === "bytes") return [0, ...[...new TextEncoder().encode(text)].map(b => b === 10 && about.lines ? 0 : b + 1)];
  else {
    const longest = symbols.reduce((most, s) => Math.max(most, s.length), 1);
    while (text) {
      let n = Math.min(longest, text.length);
      while (n > 1 && !ids.has(text.slice(0, n))) n--;
      if (n === 1 && !ids.has(text[0])) n = String.fromCodePoint(text.codePointAt(0)).length;
      pieces.push(text.slice(0, n)); text = text.slice(n);
    }
  }
  return [0, ...pieces.map(p => ids.has(p) ? ids.get(p) : about.unknown).filter(k => k >= 0)];
}
function decode(list) {
  if (translates) return list.map(k => about.outputs[k]).join(about.target_words ? " " : "");
  if (about.kind === "bytes") return new TextDecoder().decode(Uint8Array.from(list.map(k => k ? k - 1 : 10)));
  if (about.kind !== "words") return list.map(k => symbols[k]).join("");
  return list.map((k, i) => (i && symbols[list[i - 1]] !== "\n" && symbols[k] !== "\n" ? " " : "") + symbols[k]).join("");
}
function generator(seed) { /* mulberry32 */
  let a = seed >>> 0;
  return () => { a = a + 0x6D2B79F5 | 0; let t = Math.imul(a ^ a >>> 15, 1 | a); t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t; return ((t ^ t >>> 14) >>> 0) / 4294967296; };
}
function ranked(logits, state, temperature) { /* [symbol, probability] of those that may follow, most probable first */
  const list = [];
  for (let k = 0; k < V; k++) if (!follow || follow[state.allowed * V + k] !== 255) list.push(k);
  const probs = softmax(list.map(k => logits[k] / temperature));
  return list.map((k, n) => [k, probs[n]]).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}
function choose(logits, state, o, random) {
  if (o.temperature <= 0) {
    let best = -1;
    for (let k = 0; k < V; k++) if (follow[state.allowed * V + k] !== 255 && (best < 0 || logits[k] > logits[best])) best = k;
    return Math.max(best, 0);
  }
  let p = ranked(logits, state, o.temperature);
  if (o.top_k > 0) p = p.slice(0, o.top_k);
  if (o.top_p < 1) {
    let mass = p.reduce((s, e) => s + e[1], 0) * o.top_p, n = 0;
    while (n < p.length && mass > 0) mass -= p[n++][1];
    p = p.slice(0, Math.max(n, 1));
  }
  let target = random() * p.reduce((s, e) => s + e[1], 0);
  for (const [k, w] of p) { target -= w; if (target < 0) return k; }
  return p.length ? p[p.length - 1][0] : 0;
}
function after(text, label) { /* the state and the logits after a text from the start; of no text, of a start */
  const list = encode(text);
  let state = fresh(), logits;
  if (list.length === 1 && about.newline > 0) list.push(about.newline); /* a stream begins at the start of a line */
  for (const symbol of list) {
    if (symbol === 0) state = fresh();
    logits = read(state, symbol, label);
  }
  return { state, logits };
}
function* continued(o, random) { /* the symbols that follow a text, up to its end */
  let { state, logits } = after(o.text, o.label);
  for (;;) {
    const symbol = choose(logits, state, o, random);
    if (symbol === 0) return;
    yield symbol;
    logits = read(state, symbol, o.label);
  }
}
globalThis.rnn = {
  logits: (text, label) => readAll(text, label || 0).map(x => [...x]),
  answers: (source, target) => { const next = decoder(source); return [0, ...target].map(k => [...next(k).logits]); },
  greedy: (text, length) => {
    const list = [];
    for (const symbol of continued({ text, label: 0, temperature: 0 })) if (list.push(symbol) >= length) break;
    return decode(list);
  },
  encode, decode, translate: text => decode(translate(text).map(([k]) => k)), bestTags,
  use: wasm => { product = wasm && fast ? fast : plainProduct; return product === fast; },
  speed: count => { const start = performance.now(), state = fresh(); for (let k = 0; k < count; k++) read(state, 1 + k % (symbols.length - 1), 0); return count / (performance.now() - start) * 1000; },
};
