/* The page. What a model, a link or a text says is only ever set as text. */
const $ = id => document.getElementById(id);
const NUMBERS = ["temperature", "top_k", "top_p", "count", "length", "seed"];
const LINES = "lines", ON = "on", COMPLETE = "complete";
const MODES = about.lines ? { [LINES]: "New texts", [COMPLETE]: "Complete" } : { [ON]: "Write on", [COMPLETE]: "Complete" };
const UNITS = { words: "words", bytes: "bytes", tokens: "tokens" }[about.kind] || "characters";
const TITLES = { classify: "Labels", tag: "Tags", translate: "Symbol by symbol" };
const make = (name, text = "", ...classes) => {
  const element = document.createElement(name);
  element.textContent = text;
  element.classList.add(...classes);
  return element;
};
const say = text => { $("said").textContent = text; };
const shownSymbol = text => text === " " ? "space" : JSON.stringify(text).slice(1, -1);
function nameOf(k) {
  if (translates) return k ? shownSymbol(about.outputs[k]) : "end";
  if (about.outputs.length) return about.outputs[k];
  if (k === 0 && about.lines) return "end";
  if (about.kind !== "bytes") return shownSymbol(symbols[k]);
  return k > 33 && k < 128 ? String.fromCharCode(k - 1) : "0x" + (k - 1).toString(16).padStart(2, "0");
}
const mode = () => document.querySelector("#modes :checked")?.value;
const limited = input => { /* the value within its limits, if the field holds one */
  const value = input.value === "" ? NaN : Number(input.value), { min, max } = input;
  return Number.isFinite(value) ? Math.min(Math.max(value, Number(min)), max === "" ? 4294967295 : Number(max)) : Number(input.defaultValue);
};
function settings() {
  const numbers = Object.fromEntries(NUMBERS.map(n => [n, limited($(n))]));
  for (const n of ["top_k", "count", "length", "seed"]) numbers[n] = Math.floor(numbers[n]);
  if (mode() === ON) numbers.count = 1;
  const text = mode() === LINES ? "" : $("text").value;
  return { ...numbers, text, label: Math.max(0, $("label").selectedIndex), mode: mode() };
}

/* Writing. */
const END = about.text_end === "\n\n" ? "\n\n" : "\n";
let running = 0, shown = null, parts = [], rest = null; /* what is shown: its settings, its texts, and how to continue it */
const shownText = () => parts.map(([start, list]) => start + joined(start, list)).join(END);
const joined = (text, list) => (about.kind === "words" && text && list.length && !/\s$/.test(text) ? " " : "") + decode(list);
function write() {
  if (shown && JSON.stringify(settings()) === JSON.stringify(shown)) $("seed").value = settings().seed + 1; /* other texts */
  const o = settings();
  shown = o;
  parts = [];
  $("output").replaceChildren(make("ol"));
  const random = generator(o.seed);
  run(function* () {
    for (let n = 0; n < o.count; n++) {
      const item = make("li");
      $("output").firstChild.append(item);
      parts.push([o.text, []]);
      rest = { item, symbols: continued(o, random) };
      yield* more(o.length);
    }
  });
}
function* more(count) { /* up to `count` symbols of the last text */
  const [start, list] = parts.at(-1), { item, symbols } = rest;
  rest.done = false;
  while (count-- > 0) {
    const { value, done } = symbols.next();
    if (done) { rest.done = true; break; }
    list.push(value);
    yield () => item.replaceChildren(make("b", start), joined(start, list));
  }
  yield () => item.replaceChildren(make("b", start), joined(start, list));
}
function run(work) { /* a part at a time, so that the page answers; what is written is shown after each */
  const own = ++running, steps = work();
  $("stop").disabled = false;
  $("more").disabled = true;
  say("");
  const turn = () => {
    const until = performance.now() + 15, show = new Set();
    let last = null, current = null;
    while (performance.now() < until && own === running) {
      const { value, done } = steps.next();
      if (done) { finish(); break; }
      if (rest.item !== current && last) show.add(last);
      current = rest.item;
      last = value;
    }
    if (last) show.add(last);
    for (const each of show) each();
    if (own === running) setTimeout(turn);
  };
  turn();
}
function finish() {
  running++;
  $("stop").disabled = true;
  $("more").disabled = mode() !== ON || !rest || rest.done;
  const written = parts.filter(([, list]) => list.length).length;
  say(shown.mode === ON ? "Done." : `${written} ${written === 1 ? "text" : "texts"} written.`);
}
$("write").onclick = write;
$("stop").onclick = () => { finish(); say("Stopped."); };
$("more").onclick = () => { shown = { ...shown, length: shown.length + limited($("length")) }; run(() => more(limited($("length")))); };

/* Answering: what comes next, labels, tags, a target. */
function row(label, p, press) {
  const item = make("li"), line = make(press ? "button" : "div", "", "row"), bar = make("div", "", "bar"), cell = make("div");
  bar.style.width = 100 * p + "%";
  cell.append(bar);
  line.append(make("span", label), cell, make("span", (100 * p).toFixed(1) + " %"));
  if (press) { line.onclick = press; line.title = "Add it to the beginning"; }
  item.append(line);
  return item;
}
function answer() {
  const o = settings(), text = encode(o.text), rows = [];
  if (translates) {
    const found = o.text.trim() ? translate(o.text) : [];
    parts = [["", found.map(([k]) => k)]];
    $("output").textContent = shownText();
    for (const [k, p] of found) rows.push(row(nameOf(k), p));
  } else if (about.task === "tag") {
    const tokens = o.text.split(/\s+/).filter(token => token), logits = readAll(encode(tokens.join(" ")), 0);
    let at = 0;
    const own = tokens.map(token => { at += [...token].length; return logits[at++]; }); /* a token ends at its last character */
    const tags = bestTags(own);
    $("output").replaceChildren(...tokens.map((token, n) => {
      const tag = nameOf(tags[n]), kind = !about.allowed ? [] : tag.startsWith("B-") ? ["span"] : tag.startsWith("I-") ? ["inside"] : [];
      const item = make("span", token, "token", ...kind);
      item.append(make("small", tag));
      return item;
    }));
    tokens.forEach((token, n) => rows.push(row(`${token}: ${nameOf(tags[n])}`, softmax(own[n])[tags[n]])));
    parts = [];
  } else if (follow) {
    const { state, logits } = after(o.text, o.label);
    for (const [k, p] of ranked(logits, state, 1).slice(0, 8)) rows.push(row(nameOf(k), p, k && about.kind !== "bytes" ? () => add(k) : null));
  } else for (const [k, p] of ranked(readAll(text, o.label).at(-1), fresh(), 1).slice(0, 8)) rows.push(row(nameOf(k), p));
  $("answers").replaceChildren(...rows);
}
function add(k) { /* a symbol to the beginning */
  const start = settings().text;
  if (mode() === LINES) chooseMode(COMPLETE);
  $("text").value = start + (about.kind === "words" && start && !/\s$/.test(start) ? " " : "") + decode([k]);
  answer();
  $("answers").querySelector("button")?.focus();
}

/* The parts of the page that this model needs. */
function chooseMode(name) {
  for (const each of document.querySelectorAll("#modes input")) each.checked = each.value === name;
  $("beginning").hidden = name === LINES;
  $("many").hidden = name === ON;
  $("more").hidden = name !== ON;
  $("more").disabled = true;
  $("next").textContent = name === LINES ? "What comes first" : "What comes next";
}
document.title = about.title;
$("title").textContent = about.title;
$("unit").textContent = UNITS;
for (const each of about.labels) $("label").add(new Option(each));
$("labelled").hidden = !about.labels.length;
$("writer").hidden = !follow;
$("output").hidden = about.task === "classify";
for (const name of ["copy", "download"]) $(name).hidden = about.task === "classify";
if (follow) {
  $("modes").hidden = false;
  $("prompt").textContent = about.lines ? "Beginning (Enter writes)" : "Beginning (Ctrl+Enter writes)";
  for (const [value, text] of Object.entries(MODES)) {
    const label = make("label"), input = make("input");
    Object.assign(input, { type: "radio", name: "mode", value });
    input.onchange = () => { chooseMode(value); answer(); };
    label.append(input, text);
    $("modes").append(label);
  }
  chooseMode(Object.keys(MODES)[0]);
  if (!about.lines) $("length").value = $("length").defaultValue = 400;
} else $("next").textContent = TITLES[about.task];
$("answers").classList.toggle("short", Boolean(follow && about.kind !== "words" || translates && !about.target_words));
$("about").textContent = `${about.cell.toUpperCase()}, ${L} × ${H} units${D > 1 ? ", both directions" : ""}; weights in ${about.int8 ? "8 bits" : "bfloat16"}. It runs in this page, offline${fast ? "" : ", without WebAssembly"}${about.remark && "; " + about.remark}.`;
$("text").oninput = $("label").onchange = answer;
$("text").onkeydown = event => {
  if (follow && event.key === "Enter" && !event.isComposing && !event.shiftKey && (about.lines || event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    write();
  }
};

/* Taking away. */
const taken = () => about.task === "tag" ? [...$("output").querySelectorAll(".token")].map(t => `${t.firstChild.data}\t${t.lastChild.textContent}\n`).join("") : shownText();
async function copy(text, done, failed) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch (problem) { say(failed); }
}
$("share").onclick = () => {
  const { mode, text, label, ...numbers } = follow ? shown || settings() : { text: $("text").value };
  const given = { ...(mode && { mode }), ...(text && { text }), ...(about.labels.length && { label }), ...numbers };
  const hash = "#" + new URLSearchParams(given);
  try { history.replaceState(null, "", hash); } catch (problem) { location.hash = hash; } /* some browsers refuse it to files */
  copy(location.href, "Link copied.", "The link is in the address bar.");
};
$("copy").onclick = () => copy(taken(), "Copied.", "Select the text and copy it.");
$("download").onclick = () => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([taken() + (about.task === "tag" ? "" : "\n")], { type: "text/plain" }));
  link.download = "text.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
function fromLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (follow && Object.hasOwn(MODES, given.get("mode"))) chooseMode(given.get("mode"));
  for (const n of NUMBERS) if (given.has(n) && Number.isFinite(Number(given.get(n)))) $(n).value = Number(given.get(n));
  if (given.has("text")) $("text").value = given.get("text");
  if (about.labels[given.get("label")]) $("label").selectedIndex = Number(given.get("label"));
  answer();
  shown = null;
  if (follow) write();
}
addEventListener("hashchange", fromLink);
fromLink();
