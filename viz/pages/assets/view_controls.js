// Switches, time, keyboard, the overview of all frames.

const thumbs = [];

function startSwitches() {
  const pick = (change) => {
    const wanted = { backend: current().backend, split: current().split, ...change };
    let found = settingOf(wanted.backend, wanted.split);
    if (found < 0) found = settings.findIndex((s) => (change.backend ? s.backend === change.backend : s.split === change.split));
    if (found >= 0) update({ setting: found });
  };
  if (settings.some((s) => !s.after)) get("names").textContent = "Selector";
  get("split").hidden = page.splits.length === 0;
  for (const name of page.backends) get("backend").append(element("option", { value: name, textContent: name }));
  get("backend").addEventListener("change", (event) => pick({ backend: event.target.value }));
  const pressSplit = choice(get("split"), page.splits, String, (split) => pick({ split }));
  const pressRatio = choice(get("ratio"), page.ratios, String, (ratio) => update({ ratio: page.ratios.indexOf(ratio) }));
  get("versus").append(element("option", { value: "-1", textContent: "nothing" }));
  settings.forEach((s, i) => get("versus").append(element("option", { value: String(i), textContent: nameOf(s) })));
  get("versus").addEventListener("change", (event) => update({ versus: Number(event.target.value), mode: "Kept" }));
  const pressMode = choice(get("modes"), MODES, (mode) => `${MODES.indexOf(mode) + 1} ${mode}`, (mode) => update({ mode }));
  watch(["setting"], () => {
    get("backend").value = current().backend;
    pressSplit(current().split, (split) => settingOf(current().backend, split) >= 0);
  });
  watch(["ratio"], () => pressRatio(page.ratios[state.ratio]));
  watch(["mode", "setting"], () => pressMode(modeNow(), hasMode));
  watch(["versus"], () => (get("versus").value = String(state.versus)));
  get("opacity").value = String(state.opacity);
  get("opacity").addEventListener("input", (event) => update({ opacity: Number(event.target.value) }));
}

/** The sentences at the top. */
function tellStory() {
  const s = current(), against = other();
  get("finding").textContent = `${s.backend}: ${s.finding}`;
  const shared = against ? ` ${nameOf(against)} shares ${percent(overlap(codesNow(), against.codes[state.ratio]))} of the tokens either keeps.` : "";
  get("kept").textContent = s.kept[state.ratio] + shared;
}

function startTime() {
  const slider = get("time"), play = get("play");
  slider.max = String(T - 1);
  slider.disabled = play.disabled = T === 1;
  slider.addEventListener("input", () => update({ frame: Number(slider.value), playing: false }));
  play.addEventListener("click", () => update({ playing: !state.playing }));
  let timer = 0;
  watch(["playing"], () => {
    clearInterval(timer);
    play.textContent = state.playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    if (state.playing) timer = setInterval(() => update({ frame: (state.frame + 1) % T }), 350);
  });
  watch(["frame"], () => {
    slider.value = String(state.frame);
    const when = clock(state.frame);
    get("clock").textContent = `frame ${state.frame} of 0 to ${T - 1}${when && ` · ${when}`}`;
    if (state.token >= 0) update({ token: state.frame * frameSize + (state.token % frameSize) });
  });
}

function startStrip() {
  for (let t = 0; t < T; t++) {
    const canvas = element("canvas"), right = element("span");
    const cut = page.shots?.includes(t);
    const name = element("span", { textContent: cut ? `${t} cut` : String(t) });
    const button = element("button", { type: "button", className: cut ? "cut" : "" }, canvas, element("span", { className: "caption" }, name, right));
    button.addEventListener("click", () => {
      update({ frame: t, playing: false });
      get("frame").scrollIntoView({ block: "nearest" });
    });
    get("strip").append(button);
    thumbs.push({ button, canvas, right, cut });
  }
}

function paintStrip() {
  const found = keptPerFrame();
  const width = thumbs[0].canvas.clientWidth || 118;
  thumbs.forEach(({ button, canvas, right, cut }, t) => {
    paint(canvas, t, width, false);
    const n = sum(found[t]);
    right.textContent = `${n} kept`;
    button.setAttribute("aria-label", `Frame ${t}${cut ? ", first after a shot change" : ""}: ${n} of ${frameSize} tokens kept`);
  });
}

function legendItem(draw, text) {
  const svg = shape("svg", { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" }, ...draw);
  return element("span", { className: "item" }, svg, element("span", { textContent: text }));
}

function boxItem(colour, text, inner) {
  const draw = [shape("rect", { x: 2, y: 2, width: 12, height: 12, fill: "#3a3f47", stroke: colour, "stroke-width": 2.5 })];
  if (inner) draw.push(shape("rect", { x: 5.5, y: 5.5, width: 5, height: 5, fill: "none", stroke: inner, "stroke-width": 1.5 }));
  return legendItem(draw, text);
}

function heatItem(low, high, text) {
  const stops = palette.heat.map((c, i) => shape("stop", { offset: i / (palette.heat.length - 1), "stop-color": c }));
  const svg = shape("svg", { width: 120, height: 14, viewBox: "0 0 120 14", "aria-hidden": "true" });
  svg.append(shape("defs", {}, shape("linearGradient", { id: "heat" }, ...stops)), shape("rect", { width: 120, height: 14, rx: 3, fill: "url(#heat)" }));
  return element("span", { className: "item" }, element("span", { textContent: low }), svg, element("span", { textContent: `${high} ${text}` }));
}

/** Boxes of the reasons for which tokens are kept; `all`: also of those that do not occur. */
function reasonItems(codes, all) {
  const seen = new Set(codes.filter((code) => code & KEPT).map((code) => code & 3));
  const boxes = [
    [REPRESENTATIVE, palette.representative, "representative"], [EVENT, palette.event, "event"],
    [REPRESENTATIVE | EVENT, palette.event, "both", palette.representative],
  ];
  const items = boxes.filter(([code]) => all || seen.has(code)).map(([, ...look]) => boxItem(...look));
  return seen.has(0) ? [...items, boxItem(palette.other, "kept")] : items;
}

function showLegend() {
  const dropped = legendItem([shape("rect", { x: 1, y: 1, width: 14, height: 14, fill: "#14171c", stroke: "#6b7280" })], "dropped");
  const against = other(), s = current();
  const items = {
    Kept: against
      ? [boxItem(IN_BOTH, "kept by both"), boxItem(ONLY_HERE, `only ${nameOf(s)}`), boxItem(ONLY_THERE, `only ${nameOf(against)}`), dropped]
      : [...reasonItems(s.codes[state.ratio], s.after !== undefined), dropped],
    Communities: ["One colour a community, the same in all frames; tokens that are alone show the frame. Click one (tap twice) to highlight it."],
    "Before the cap": ["What the backend finds without the cap. Click a community (tap twice) to highlight it."],
    Change: [heatItem("0", "1", "difference to the frame before; white box: event")],
    Centrality: [heatItem(Math.min(leastCentral[state.setting] ?? 0, 0.99).toFixed(2), "1", "mean similarity to the rest of its community")],
    "Frame only": [page.pictures ? "The frames as the dump holds them." : "This dump holds no pictures of its frames."],
  }[modeNow()];
  get("legend").replaceChildren(...items);
}

function step(list, now, by) {
  return list[(list.indexOf(now) + by + list.length) % list.length];
}

/** Arrows with Shift move over the tokens of the frame. */
function moveToken(dx, dy) {
  const at = state.token < 0 ? 0 : state.token % frameSize;
  if (state.token < 0) return update({ token: state.frame * frameSize });
  const x = Math.min(W - 1, Math.max(0, (at % W) + dx)), y = Math.min(H - 1, Math.max(0, Math.floor(at / W) + dy));
  return update({ token: state.frame * frameSize + y * W + x });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || at.matches("select")) return;
  const chosen = at.matches("button, summary") && at.matches(":focus-visible");
  const go = (frame) => update({ frame: Math.min(T - 1, Math.max(0, frame)), playing: false });
  const splitsHere = page.splits.filter((split) => settingOf(current().backend, split) >= 0);
  const acts = {
    Home: () => go(0),
    End: () => go(T - 1),
    " ": () => T > 1 && update({ playing: !state.playing }),
    Enter: () => state.token >= 0 && toggleFocus(state.token, kindOfMode()),
    Escape: () => update({ focus: null, token: -1 }),
    b: () => {
      const name = step(page.backends, current().backend, 1), same = settingOf(name, current().split);
      update({ setting: same >= 0 ? same : settings.findIndex((s) => s.backend === name) });
    },
    s: () => splitsHere.length && update({ setting: settingOf(current().backend, step(splitsHere, current().split, 1)) }),
    "[": () => update({ ratio: Math.max(0, state.ratio - 1) }),
    "]": () => update({ ratio: Math.min(page.ratios.length - 1, state.ratio + 1) }),
  };
  MODES.forEach((mode, i) => (acts[String(i + 1)] = () => hasMode(mode) && update({ mode })));
  if (event.key in ARROWS && event.shiftKey) moveToken(...ARROWS[event.key]);
  else if (at.matches("input") && event.key !== " " && event.key !== "Escape" && event.key.length > 1) return;
  else if (event.key === "ArrowLeft") go(state.frame - 1);
  else if (event.key === "ArrowRight") go(state.frame + 1);
  else if (chosen && (event.key === " " || event.key === "Enter")) return;
  else if (acts[event.key] ?? acts[event.key.toLowerCase()]) (acts[event.key] ?? acts[event.key.toLowerCase()])();
  else return;
  event.preventDefault();
}
