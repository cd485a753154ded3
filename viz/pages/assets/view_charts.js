// Charts that go with the frame: what the cap does, what is kept when, and where the thresholds lie.

const SHOWN = 8; // rows of the largest communities

/** The largest communities before the cap: [{c, size, token, parts: [{label, size, token}]}]. */
function largest() {
  const { before, after } = current();
  const order = Array.from(before.sizes.keys()).sort((a, b) => before.sizes[b] - before.sizes[a] || a - b);
  const found = new Map(order.slice(0, SHOWN).map((c) => [c, { c, size: before.sizes[c], token: -1, parts: new Map() }]));
  for (let i = 0; i < N; i++) {
    const row = found.get(before.labels[i]);
    if (!row) continue;
    if (row.token < 0) row.token = i;
    const part = row.parts.get(after.labels[i]);
    if (part) part.size++;
    else row.parts.set(after.labels[i], { label: after.labels[i], size: 1, token: i });
  }
  return [...found.values()].map((row) => ({ ...row, parts: [...row.parts.values()].sort((a, b) => b.size - a.size) }));
}

/** What stands in a chart of communities where there are none. */
function noCommunities(svg) {
  svg.append(label(0, 14, "This selector finds no communities."));
  return "This selector finds no communities";
}

function drawPieces(svg, width) {
  if (!current().after) return noCommunities(svg);
  const found = largest(), { cap, after, in_search: inSearch } = current();
  const left = 82, right = width - 4, tall = 19, top = 16;
  const scale = (size) => (size / found[0].size) * (right - left);
  const named = ({ label: c, size }) => (inSearch
    ? `community ${c}: ${whole(size)} of its ${whole(after.sizes[c])} tokens`
    : `piece ${c}: ${whole(size)} tokens`);
  const focus = highlighted();
  found.forEach((row, k) => {
    const y = top + k * tall, group = shape("g", { class: "clickable row", tabindex: 0, role: "button" });
    const n = row.parts.length, cut = n === 1 ? "not cut" : `cut into ${n} pieces`;
    const pieces = inSearch ? `in ${n} ${n === 1 ? "community" : "communities"} under the cap` : cut;
    group.setAttribute("aria-label", `Community ${row.c}: ${row.size} tokens, ${pieces}. Highlight`);
    const name = label(left - 6, y + 12, `${whole(row.size)} tokens`, "end", focus?.kind === "before" && focus.c === row.c ? "strong" : "");
    name.append(shape("title", {}, `community ${row.c} before the cap: ${whole(row.size)} tokens, ${pieces}`));
    group.append(name);
    let x = left;
    for (const part of row.parts) {
      const lit = !focus || (focus.kind === "after" ? focus.c === part.label : focus.c === row.c);
      const piece = bar(x, y, Math.max(0.5, scale(part.size) - 1), tall - 4, lit ? "" : "dim", named(part));
      piece.setAttribute("fill", palette.community[after.colours[part.label]] ?? palette.alone);
      piece.addEventListener("click", (event) => {
        event.stopPropagation();
        toggleFocus(part.token, "after");
      });
      group.append(piece);
      x += scale(part.size);
    }
    group.addEventListener("click", () => toggleFocus(row.token, "before"));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      toggleFocus(row.token, "before");
      requestAnimationFrame(() => get("pieces").querySelectorAll(".row")[k]?.focus());
    });
    svg.append(group);
  });
  if (cap !== null && cap <= found[0].size) {
    svg.append(line(left + scale(cap), top - 3, left + scale(cap), top + found.length * tall, "mark"));
    svg.append(label(left + scale(cap) + 4, 10, `cap: ${whole(cap)} tokens`, "start", "marked"));
  }
  return `The ${found.length} largest communities and their pieces`;
}

/** Bars of doubling sizes around the cap: [{low, high, before, after, nBefore, nAfter}]. */
function sizeBins() {
  const { before, after, cap } = current();
  const top = Math.max(...before.sizes), middle = cap ?? Math.floor(Math.sqrt(N));
  const edges = [middle];
  while (edges[0] > 1) edges.unshift(Math.floor(edges[0] / 2));
  while (edges.at(-1) < top) edges.push(edges.at(-1) * 2);
  const bins = edges.map((high, k) => ({ low: k ? edges[k - 1] + 1 : 1, high, before: 0, after: 0, nBefore: 0, nAfter: 0 }));
  for (const [sizes, share, count] of [[before.sizes, "before", "nBefore"], [after.sizes, "after", "nAfter"]]) {
    for (const size of sizes) {
      const bin = bins[edges.findIndex((high) => size <= high)];
      bin[share] += size / N;
      bin[count]++;
    }
  }
  return { bins: bins.filter((bin) => bin.low <= bin.high), middle };
}

function drawSizes(svg, width, height) {
  if (!current().after) return noCommunities(svg);
  const { bins, middle } = sizeBins(), { cap } = current();
  const box = { left: 40, right: width - 4, top: 22, bottom: height - 30 };
  const top = 1.08 * Math.max(...bins.map((bin) => Math.max(bin.before, bin.after)));
  const y = verticalScale(svg, box, top, percent);
  const step = (box.right - box.left) / bins.length;
  bins.forEach((bin, k) => {
    const x = box.left + k * step;
    const range = bin.low === bin.high ? whole(bin.low) : `${whole(bin.low)} to ${whole(bin.high)}`;
    const title = (when, n, share) => `${range} tokens, ${when} the cap: ${whole(n)} communities, ${percent(share)} of all tokens`;
    svg.append(bar(x + step * 0.1, y(bin.before), step * 0.38, box.bottom - y(bin.before), "before", title("before", bin.nBefore, bin.before)));
    svg.append(bar(x + step * 0.52, y(bin.after), step * 0.38, box.bottom - y(bin.after), "after", title("after", bin.nAfter, bin.after)));
    const text = bins.length > 9 || width < 380 ? whole(bin.high) : bin.low === bin.high ? whole(bin.low) : `${bin.low}–${bin.high}`;
    if (step > 30 || (bins.length - 1 - k) % 2 === 0) svg.append(label(x + step / 2, box.bottom + 14, text, "middle"));
  });
  svg.append(label((box.left + box.right) / 2, height - 3, "size of the community, up to … tokens", "middle"));
  const edge = box.left + step * (bins.findIndex((bin) => bin.high === middle) + 1);
  const root = middle === Math.floor(Math.sqrt(N)) ? `√N = ${whole(middle)}` : `cap = ${whole(middle)}`;
  svg.append(line(edge, box.top - 6, edge, box.bottom, "mark"));
  svg.append(label(edge + 4, box.top + 2, root, "start", "marked"));
  svg.append(bar(box.left, 2, 10, 10, "before"), label(box.left + 14, 11, "before the cap"));
  svg.append(bar(box.left + 104, 2, 10, 10, "after"), label(box.left + 118, 11, cap === null ? "no cap" : "after"));
  const above = bins.filter((bin) => bin.low > middle).reduce((sum, bin) => sum + bin.before, 0);
  return `Tokens by size of their community; ${percent(above)} are in communities above ${middle} before the cap`;
}

/** Of a frame: kept for other reasons, representatives, events, both. */
const sum = (f) => f[0] + f[1] + f[2] + f[3];

function keptPerFrame() {
  const codes = codesNow(), found = Array.from({ length: T }, () => [0, 0, 0, 0]);
  for (let i = 0; i < N; i++) if (codes[i] & KEPT) found[Math.floor(i / frameSize)][codes[i] & 3]++;
  return found;
}

const plotBox = (width, height) => ({ left: 34, right: width - 4, top: 20, bottom: height - 20 });

function drawPerFrame(svg, width, height) {
  const found = keptPerFrame(), box = plotBox(width, height), step = (box.right - box.left) / T;
  const y = verticalScale(svg, box, 1.05 * Math.max(1, ...found.map(sum)), (v) => whole(Math.round(v)));
  svg.append(bar(box.left + state.frame * step, box.top - 4, step, box.bottom - box.top + 4, "current"));
  found.forEach((f, t) => {
    let at = 0;
    const x = box.left + t * step, wide = Math.max(1, step - (step > 4 ? 1 : 0));
    for (const [k, colour] of [[1, palette.representative], [3, "url(#both)"], [2, palette.event], [0, palette.other]]) {
      const part = bar(x, y(at + f[k]), wide, y(at) - y(at + f[k]), "");
      part.setAttribute("fill", colour);
      svg.append(part);
      at += f[k];
    }
    const hit = bar(x, box.top, step, box.bottom - box.top, "clickable", `frame ${t}: ${at} kept${f[0] ? "" : `, ${f[1]} representatives, ${f[2]} events, ${f[3]} both`}`);
    hit.setAttribute("fill", "transparent");
    hit.addEventListener("click", () => update({ frame: t, playing: false }));
    svg.append(hit);
    if (T <= 12 || t % Math.ceil(T / 10) === 0) svg.append(label(x + step / 2, height - 5, String(t), "middle"));
  });
  for (const t of page.shots ?? []) svg.append(line(box.left + t * step, box.top - 4, box.left + t * step, box.bottom, "mark"));
  const both = shape("pattern", { id: "both", width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  both.append(shape("rect", { width: 4, height: 4, fill: palette.event }), shape("rect", { width: 2, height: 4, fill: palette.representative }));
  svg.prepend(shape("defs", {}, both));
  let x = box.left;
  const others = found.some((f) => f[0]) ? [[palette.other, "kept", 58]] : [];
  const reasons = [[palette.representative, "representative", 100], ["url(#both)", "both", 52], [palette.event, "event", 58]];
  for (const [fill, text, wide] of found.some((f) => f[1] + f[2] + f[3]) ? [...reasons, ...others] : others) {
    svg.append(shape("rect", { x, y: 2, width: 10, height: 10, fill }), label(x + 14, 11, text));
    x += wide;
  }
  if (page.shots?.length) svg.append(line(x + 5, 0, x + 5, 13, "mark"), label(x + 12, 11, "shot change", "start", "marked"));
  return `Kept tokens per frame, ${Math.min(...found.map(sum))} to ${Math.max(...found.map(sum))}`;
}

const BINS = 60;

function drawSimilarity(svg, width, height) {
  if (similarity.every(Number.isNaN)) {
    svg.append(label(0, 14, "The features are not known."));
    return "No similarities: the features are not known";
  }
  const box = { ...plotBox(width, height), left: 10 };
  let low = 1;
  for (const w of similarity) if (w < low) low = w;
  low = Math.min(low, page.event_threshold ?? 1, page.tau_sim ?? 1);
  const start = Math.max(-1, Math.floor(low * 10) / 10), x = (w) => box.left + ((w - start) / (1 - start)) * (box.right - box.left);
  const kinds = [["spatial", 0, 2 * N, "in space"], ["temporal", 2 * N, 3 * N, "in time"]];
  const counted = kinds.map(([, from, to]) => {
    const bins = new Float64Array(BINS);
    let n = 0, above = 0;
    for (let i = from; i < to; i++) {
      if (Number.isNaN(similarity[i])) continue;
      bins[Math.min(BINS - 1, Math.max(0, Math.floor(((similarity[i] - start) / (1 - start)) * BINS)))]++;
      n++;
      if (page.tau_sim !== null && similarity[i] > page.tau_sim) above++;
    }
    return { bins: bins.map((count) => count / Math.max(1, n)), above: n ? above / n : 0, n };
  });
  const top = 1.05 * Math.max(...counted.flatMap((c) => [...c.bins]));
  const y = (share) => box.bottom - (share / top) * (box.bottom - box.top);
  svg.append(line(box.left, box.bottom, box.right, box.bottom, "axis"));
  for (let w = start; w <= 1.0001; w += 0.2) svg.append(label(x(w), height - 5, w.toFixed(1).replace("-", "−"), "middle"));
  let at = box.left;
  kinds.forEach(([kind, , , text], k) => {
    const { bins, above, n } = counted[k];
    if (n === 0) return;
    const points = [...bins].flatMap((share, i) => [`${x(start + (i / BINS) * (1 - start))},${y(share)}`, `${x(start + ((i + 1) / BINS) * (1 - start))},${y(share)}`]);
    svg.append(shape("polyline", { points: points.join(" "), class: kind }));
    svg.append(line(at, 7, at + 14, 7, kind), label(at + 18, 11, page.tau_sim === null ? text : `${text}: ${percent(above)} above`));
    at += 150;
  });
  if (page.tau_sim !== null) threshold(svg, x(page.tau_sim), box, `joined above ${page.tau_sim}`, page.tau_sim > (start + 1) / 2 ? "end" : "start");
  if (page.event_threshold !== null) threshold(svg, x(page.event_threshold), box, `event below ${Number(page.event_threshold.toFixed(3))}`, "start");
  if (page.tau_sim === null) return "Similarities in space and in time";
  return `Similarities: in space ${percent(counted[0].above)}, in time ${percent(counted[1].above)} above ${page.tau_sim}`;
}

function threshold(svg, x, box, text, side) {
  svg.append(line(x, box.top + 2, x, box.bottom, "mark"), label(x + (side === "end" ? -4 : 4), box.top + (side === "end" ? 26 : 12), text, side, "marked"));
}

function startCharts() {
  const pieces = chart("pieces", () => 20 + Math.min(SHOWN, Math.max(0, ...settings.map((s) => s.before?.sizes.length ?? 0))) * 19, drawPieces);
  const sizes = chart("sizes", 150, drawSizes);
  const frames = chart("perframe", 120, drawPerFrame);
  const weights = chart("similarity", 120, drawSimilarity);
  watch(["setting", "focus", "theme"], pieces);
  watch(["setting", "theme"], sizes);
  watch(["setting", "ratio", "frame", "theme"], frames);
  watch(["theme"], weights);
}
