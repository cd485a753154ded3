// What is shown now, and who wants to know when it changes.

const [T, H, W] = page.grid;
const frameSize = H * W;
const N = T * frameSize;
const arrays = page.arrays.map(decoded);
const similarity = arrays[page.similarity];
const rows = page.rows === null ? null : arrays[page.rows];
const REPRESENTATIVE = 1, EVENT = 2, KEPT = 4;
const MODES = ["Kept", "Communities", "Before the cap", "Change", "Centrality", "Frame only"];
const MODES_OF_ALL = ["Kept", "Change", "Frame only"]; // those that need no communities

/** Settings; those of selectors without communities lack `after`, `before` and `centrality`. */
const settings = page.settings.map(({ communities: c, ...s }) => ({
  ...s,
  ...(c && {
    cap: c.cap,
    in_search: c.in_search,
    after: community(arrays[c.labels], arrays[c.colours]),
    before: community(arrays[c.uncapped], arrays[c.uncapped_colours]),
    centrality: arrays[c.centrality],
  }),
  codes: s.codes.map((i) => arrays[i]),
}));

const state = {
  frame: page.first_frame, token: -1, mode: "Kept", setting: 0, ratio: Math.max(0, page.ratios.indexOf(0.3)), versus: -1,
  focus: null, playing: false, opacity: 0.6, theme: 0, pictures: 0,
};

const watchers = [];
let changed = new Set();

/** Run `act` after any of `keys` of the state has changed, once a screen refresh. */
function watch(keys, act) {
  watchers.push({ keys, act });
}

function update(change) {
  for (const [key, value] of Object.entries(change)) {
    if (state[key] === value) continue;
    state[key] = value;
    if (changed.size === 0) requestAnimationFrame(refresh);
    changed.add(key);
  }
}

function refresh() {
  const keys = changed;
  changed = new Set();
  for (const { keys: wanted, act } of watchers) if (wanted.some((key) => keys.has(key))) act();
}

function community(labels, colours) {
  const sizes = new Uint32Array(colours.length);
  for (const c of labels) sizes[c]++;
  return { labels, colours, sizes };
}

const current = () => settings[state.setting];
const codesNow = () => current().codes[state.ratio];
const nameOf = (s) => (s.split ? `${s.backend}, ${s.split}` : s.backend);
const hasMode = (mode) => current().after !== undefined || MODES_OF_ALL.includes(mode);
/** The mode that is shown: the one chosen, if the setting has it. */
const modeNow = () => (hasMode(state.mode) ? state.mode : "Kept");
const other = () => (state.versus < 0 ? null : settings[state.versus]);

function settingOf(backend, split) {
  return settings.findIndex((s) => s.backend === backend && s.split === split);
}

/** The communities the mode shows: before the cap, or after it. */
const partitionOf = (kind) => (kind === "before" ? current().before : current().after);
const kindOfMode = () => (modeNow() === "Before the cap" ? "before" : "after");

/** Labels and number of the highlighted community, or null. It is known by a token, so it outlives a switch. */
function highlighted() {
  if (state.focus === null || !current().after) return null;
  const { labels, sizes, colours } = partitionOf(state.focus.kind);
  const c = labels[state.focus.token];
  return { labels, c, size: sizes[c], colour: colours[c], kind: state.focus.kind };
}

/** Difference of a token to the same place one frame earlier; NaN in the first frame. */
function change(i) {
  return i < frameSize ? NaN : 1 - similarity[2 * N + i - frameSize];
}

/** Cosine similarities of a token to its neighbours, NaN where there is none. */
function neighbours(i) {
  const x = i % W, y = Math.floor(i / W) % H;
  return {
    left: x > 0 ? similarity[i - 1] : NaN,
    right: similarity[i],
    above: y > 0 ? similarity[N + i - W] : NaN,
    below: similarity[N + i],
    previous: i >= frameSize ? similarity[2 * N + i - frameSize] : NaN,
    next: similarity[2 * N + i],
  };
}

function clock(t) {
  return page.times === null ? "" : `${page.times[t].toFixed(1)} s`;
}

/** The state as the address has it, such as #f=8&b=igraph-leiden&s=tree&r=0.3&m=kept: a link to what is shown. */
function addressNow() {
  const s = current(), against = other();
  const parts = { f: state.frame, b: s.backend, ...(s.split && { s: s.split }), r: page.ratios[state.ratio], m: modeNow() };
  if (against) Object.assign(parts, { v: state.versus });
  return `#${new URLSearchParams(Object.entries(parts).map(([key, value]) => [key, String(value)]))}`;
}

/** What an address asks for, as far as this page has it. */
function changeOf(hash) {
  const asked = new URLSearchParams(hash.slice(1)), change = {};
  const number = (key) => (/^\d+$/.test(asked.get(key) ?? "") ? Number(asked.get(key)) : -1);
  if (number("f") >= 0 && number("f") < T) change.frame = number("f");
  const named = settings.findIndex((s) => s.backend === asked.get("b") && s.split === (asked.get("s") ?? s.split));
  if (named >= 0) change.setting = named;
  const ratio = page.ratios.findIndex((r) => String(r) === asked.get("r"));
  if (ratio >= 0) change.ratio = ratio;
  if (MODES.includes(asked.get("m"))) change.mode = asked.get("m");
  if (number("v") >= 0 && number("v") < settings.length) change.versus = number("v");
  return change;
}

/** Share of the tokens either keeps that both keep. */
function overlap(a, b) {
  let both = 0, either = 0;
  for (let i = 0; i < N; i++) {
    const ka = a[i] & KEPT, kb = b[i] & KEPT;
    if (ka || kb) either++;
    if (ka && kb) both++;
  }
  return either ? both / either : 1;
}
