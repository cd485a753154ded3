// What is known of one token: under the pointer, under a finger, or where the keyboard has moved.

/** Why a token is kept or dropped, in words. */
function why(i) {
  const code = codesNow()[i], kinds = [];
  if (!current().after && !(code & KEPT)) return "Dropped";
  if (code & REPRESENTATIVE) kinds.push("representative");
  if (code & EVENT) kinds.push("event");
  const reason = kinds.length === 2 ? "representative and event" : kinds[0] ?? page.reasons[code >> 3];
  if (code & KEPT) return reason ? `Kept as ${reason}` : "Kept";
  return reason ? `Dropped: a candidate (${reason}), but the budget was full` : "Dropped: neither representative nor event";
}

function place(i) {
  const t = Math.floor(i / frameSize), y = Math.floor(i / W) % H, x = i % W;
  const when = clock(t);
  const row = rows === null ? "" : `, row ${whole(rows[i])} of the features`;
  return `Token ${whole(i)}${row}: frame ${t}${when && ` (${when})`}, row ${y}, column ${x}`;
}

/** Rank of a token by centrality in its community, 1 the most central; ties go to the smaller token index. */
function rank(i) {
  const { after, centrality } = current();
  let before = 1;
  for (let j = 0; j < N; j++) {
    if (after.labels[j] !== after.labels[i] || j === i) continue;
    if (centrality[j] > centrality[i] || (centrality[j] === centrality[i] && j < i)) before++;
  }
  return before;
}

function memberLine(i) {
  const { after, before, in_search: inSearch } = current();
  const c = after.labels[i], b = before.labels[i];
  const size = after.sizes[c], was = before.sizes[b];
  const members = size === 1 ? "alone" : `${whole(size)} tokens`;
  if (inSearch) return `Community ${whole(c)}: ${members}; without the cap in community ${whole(b)} of ${whole(was)} tokens`;
  return size === was
    ? `Community ${whole(c)}: ${members}, not cut by the cap`
    : `Community ${whole(c)}: ${members}; before the cap in community ${whole(b)} of ${whole(was)} tokens`;
}

function communityLines(i) {
  const { after, centrality } = current(), c = after.labels[i];
  const swatch = element("span", { className: "swatch" });
  swatch.style.background = palette.community[after.colours[c]] ?? palette.alone;
  const of = after.sizes[c] > 1 ? ` (rank ${whole(rank(i))} of ${whole(after.sizes[c])})` : "";
  return [
    element("p", { className: "member" }, swatch, element("span", { textContent: memberLine(i) })),
    element("p", { textContent: `Centrality ${centrality[i].toFixed(3)}${of}` }),
  ];
}

function fillTip(i) {
  const near = neighbours(i), cells = [];
  for (const [side, value] of Object.entries(near)) {
    const spatial = side !== "previous" && side !== "next";
    const text = Number.isNaN(value) ? "none" : value.toFixed(3);
    cells.push([side + (spatial ? "" : " frame"), text, page.tau_sim !== null && value > page.tau_sim]);
  }
  const table = element("table");
  for (const pair of [[0, 1], [2, 3], [4, 5]]) {
    const row = element("tr");
    for (const k of pair) {
      row.append(element("th", { textContent: cells[k][0] }));
      row.append(element("td", { textContent: cells[k][1], className: cells[k][2] ? "joined" : "" }));
    }
    table.append(row);
  }
  const bold = page.tau_sim === null ? "" : `, bold above ${page.tau_sim}`;
  const lines = [
    element("p", { className: "head", textContent: place(i) }),
    ...(current().after ? communityLines(i) : []),
    element("p", { className: "quiet", textContent: `Similarity to neighbours${bold}:` }),
    table,
    element("p", { className: "why", textContent: why(i) }),
  ];
  const against = other();
  if (against) {
    const there = against.codes[state.ratio][i] & KEPT ? "kept" : "dropped";
    lines.push(element("p", { className: "quiet", textContent: `${nameOf(against)}: ${there}` }));
  }
  const close = element("button", { type: "button", className: "close", textContent: "×", "aria-label": "Close" });
  close.addEventListener("click", () => update({ token: -1 }));
  get("tip").replaceChildren(close, ...lines);
}

/** Show the tip beside the token, inside the window. */
function showTip() {
  const tip = get("tip"), i = state.token;
  tip.hidden = i < 0;
  if (i < 0) return;
  fillTip(i);
  const frame = get("frame").getBoundingClientRect();
  const x = i % W, y = Math.floor(i / W) % H;
  const left = frame.left + (x * frame.width) / W, right = frame.left + ((x + 1) * frame.width) / W;
  const fits = right + 12 + tip.offsetWidth < innerWidth;
  const at = fits ? right + 12 : Math.max(4, left - 12 - tip.offsetWidth);
  const down = Math.min(innerHeight - tip.offsetHeight - 6, Math.max(6, frame.top + (y * frame.height) / H - 30));
  tip.style.transform = `translate(${Math.round(at)}px, ${Math.round(down)}px)`;
}

function tokenAt(event) {
  const frame = get("frame").getBoundingClientRect();
  const x = Math.floor(((event.clientX - frame.left) / frame.width) * W);
  const y = Math.floor(((event.clientY - frame.top) / frame.height) * H);
  return x < 0 || y < 0 || x >= W || y >= H ? -1 : state.frame * frameSize + y * W + x;
}

/** Highlight the community of token i, or let go of it if it is the one. */
function toggleFocus(i, kind) {
  if (!current().after) return;
  const focus = highlighted();
  if (focus && focus.kind === kind && partitionOf(kind).labels[i] === focus.c) update({ focus: null });
  else update({ focus: { token: i, kind } });
}

function startToken() {
  const canvas = get("frame");
  canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && update({ token: tokenAt(event) }));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && update({ token: -1 }));
  canvas.addEventListener("click", (event) => {
    const i = tokenAt(event);
    if (i < 0) return;
    const again = state.token === i;
    update({ token: i, playing: false });
    if (event.pointerType === "touch" && !again) return; // the first tap tells, the second highlights
    toggleFocus(i, kindOfMode());
  });
  document.addEventListener("pointerdown", (event) => event.target !== canvas && !get("tip").contains(event.target) && update({ token: -1 }));
  watch(["token", "setting", "ratio", "versus", "mode"], showTip);
  watch(["focus", "setting", "ratio"], showFocus);
}

/** What is highlighted, in words. */
function showFocus() {
  const focus = highlighted(), note = get("focus");
  note.hidden = focus === null;
  if (focus === null) return;
  const frames = new Set(), codes = codesNow();
  let nKept = 0;
  for (let i = 0; i < N; i++) {
    if (focus.labels[i] !== focus.c) continue;
    frames.add(Math.floor(i / frameSize));
    if (codes[i] & KEPT) nKept++;
  }
  const when = focus.kind === "before" ? "before the cap" : "after the cap";
  const span = frames.size === 1 ? `frame ${[...frames][0]}` : `${frames.size} frames, ${Math.min(...frames)} to ${Math.max(...frames)}`;
  const text = `Community ${whole(focus.c)} ${when}: ${whole(focus.size)} tokens in ${span}; ${whole(nKept)} kept.`;
  const clear = element("button", { type: "button", textContent: "Clear" });
  clear.addEventListener("click", () => update({ focus: null }));
  note.style.borderLeftColor = palette.community[focus.colour] ?? palette.alone;
  note.replaceChildren(element("p", { textContent: text }), clear);
}
