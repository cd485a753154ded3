// Frames with what lies over them, large and in the overview.

const pictures = new Array(T).fill(null);
const palette = page.palette;
const ONLY_HERE = "#56b4e9", ONLY_THERE = "#e69f00", IN_BOTH = "#ffffff";
const heatStops = palette.heat.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));

function heat(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (heatStops.length - 1);
  const i = Math.floor(at), f = at - i;
  return `rgb(${heatStops[i].map((v, k) => Math.round(v + f * (heatStops[i + 1][k] - v))).join(" ")})`;
}

/** Load the frames' pictures; one that is broken is left out, and its frame is a plain grid. */
function loadPictures() {
  (page.pictures || []).forEach((data, t) => {
    const image = new Image();
    image.src = `data:image/jpeg;base64,${data}`;
    image.decode().then(() => {
      pictures[t] = image;
      if (state.pictures === 0) document.documentElement.style.setProperty("--aspect", String(aspect()));
      update({ pictures: state.pictures + 1 });
    }, () => undefined);
  });
}

function aspect() {
  const first = pictures.find((p) => p !== null);
  return first ? first.naturalWidth / first.naturalHeight : W / H;
}

/** Draw frame t with the overlay of the mode. `large`: with outlines of tokens and communities. */
function paint(canvas, t, cssWidth, large) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.round(cssWidth * ratio);
  canvas.height = Math.round((cssWidth / aspect()) * ratio);
  const pen = canvas.getContext("2d");
  const cell = {
    x: (x) => Math.round((x * canvas.width) / W), y: (y) => Math.round((y * canvas.height) / H), ratio, large,
  };
  if (pictures[t]) pen.drawImage(pictures[t], 0, 0, canvas.width, canvas.height);
  else plain(pen, cell, canvas);
  const start = t * frameSize;
  ({ Kept: kept, Communities: communities, "Before the cap": communities, Change: changes, Centrality: central })[modeNow()]
    ?.(pen, cell, start);
  const focus = highlighted();
  if (focus) dimOthers(pen, cell, start, focus);
}

/** A frame without a picture: the grid itself. */
function plain(pen, cell, canvas) {
  const style = getComputedStyle(document.documentElement);
  pen.fillStyle = style.getPropertyValue("--grid");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (!cell.large) return;
  pen.strokeStyle = style.getPropertyValue("--line");
  eachCell(0, (_, x, y) => pen.strokeRect(cell.x(x) + 0.5, cell.y(y) + 0.5, cell.x(x + 1) - cell.x(x), cell.y(y + 1) - cell.y(y)));
}

function eachCell(start, act) {
  for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) act(start + y * W + x, x, y);
}

function fill(pen, cell, x, y) {
  pen.fillRect(cell.x(x), cell.y(y), cell.x(x + 1) - cell.x(x), cell.y(y + 1) - cell.y(y));
}

function box(pen, cell, x, y, inset, width) {
  const i = (inset + width / 2) * cell.ratio;
  pen.lineWidth = width * cell.ratio;
  pen.strokeRect(
    cell.x(x) + i, cell.y(y) + i, cell.x(x + 1) - cell.x(x) - 2 * i, cell.y(y + 1) - cell.y(y) - 2 * i,
  );
}

function kept(pen, cell, start) {
  const codes = codesNow(), against = other()?.codes[state.ratio];
  const wide = cell.large ? 2 : 1;
  eachCell(start, (i, x, y) => {
    const here = codes[i] & KEPT, there = against ? against[i] & KEPT : here;
    if (!here && !there) {
      pen.fillStyle = `rgb(10 12 16 / ${0.25 + 0.75 * state.opacity})`;
      fill(pen, cell, x, y);
    }
  });
  eachCell(start, (i, x, y) => {
    const here = codes[i] & KEPT, there = against ? against[i] & KEPT : here;
    if (!here && !there) return;
    if (against) {
      pen.strokeStyle = here && there ? IN_BOTH : here ? ONLY_HERE : ONLY_THERE;
      box(pen, cell, x, y, cell.large ? 1 : 0, here && there ? wide / 2 : wide);
      return;
    }
    const event = codes[i] & EVENT, inner = codes[i] & REPRESENTATIVE;
    pen.strokeStyle = event ? palette.event : inner ? palette.representative : palette.other;
    box(pen, cell, x, y, cell.large ? 1 : 0, wide);
    if (event && inner && cell.large) {
      pen.strokeStyle = palette.representative;
      box(pen, cell, x, y, 4, 1.5);
    }
  });
}

function communities(pen, cell, start) {
  const { labels, colours } = partitionOf(kindOfMode());
  pen.globalAlpha = state.opacity;
  eachCell(start, (i, x, y) => {
    const colour = palette.community[colours[labels[i]]];
    if (colour === undefined) return; // alone: the picture shows through
    pen.fillStyle = colour;
    fill(pen, cell, x, y);
  });
  pen.globalAlpha = 1;
  if (cell.large) borders(pen, cell, start, labels, "rgb(0 0 0 / 0.8)", 1.25);
}

/** The lines between neighbours of different communities. */
function borders(pen, cell, start, labels, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width * cell.ratio;
  pen.beginPath();
  eachCell(start, (i, x, y) => {
    if (x + 1 < W && labels[i] !== labels[i + 1]) {
      pen.moveTo(cell.x(x + 1), cell.y(y));
      pen.lineTo(cell.x(x + 1), cell.y(y + 1));
    }
    if (y + 1 < H && labels[i] !== labels[i + W]) {
      pen.moveTo(cell.x(x), cell.y(y + 1));
      pen.lineTo(cell.x(x + 1), cell.y(y + 1));
    }
  });
  pen.stroke();
}

function changes(pen, cell, start) {
  pen.globalAlpha = Math.min(1, 0.3 + state.opacity);
  eachCell(start, (i, x, y) => {
    const value = change(i);
    if (Number.isNaN(value)) return;
    pen.fillStyle = heat(value);
    fill(pen, cell, x, y);
  });
  pen.globalAlpha = 1;
  if (!cell.large) return;
  const codes = codesNow();
  for (const [colour, inset, width] of [["#000000", 0.5, 3.5], ["#ffffff", 1.5, 1.5]]) {
    pen.strokeStyle = colour;
    eachCell(start, (i, x, y) => codes[i] & EVENT && box(pen, cell, x, y, inset, width));
  }
}

const leastCentral = settings.map((s) => s.centrality && Array.from(s.centrality).sort((a, b) => a - b)[Math.floor(N / 50)]);

function central(pen, cell, start) {
  const values = current().centrality, low = Math.min(leastCentral[state.setting], 0.99);
  pen.globalAlpha = Math.min(1, 0.3 + state.opacity);
  eachCell(start, (i, x, y) => {
    pen.fillStyle = heat((values[i] - low) / (1 - low));
    fill(pen, cell, x, y);
  });
  pen.globalAlpha = 1;
  if (cell.large) borders(pen, cell, start, current().after.labels, "rgb(0 0 0 / 0.6)", 1);
}

function dimOthers(pen, cell, start, focus) {
  pen.fillStyle = "rgb(8 10 14 / 0.72)";
  eachCell(start, (i, x, y) => focus.labels[i] !== focus.c && fill(pen, cell, x, y));
  outline(pen, cell, (i) => focus.labels[i] === focus.c, start);
}

/** A white line around the tokens for which `inside` holds. */
function outline(pen, cell, inside, start) {
  pen.strokeStyle = "#ffffff";
  pen.lineWidth = (cell.large ? 2 : 1) * cell.ratio;
  pen.beginPath();
  eachCell(start, (i, x, y) => {
    if (!inside(i)) return;
    const [l, r, a, b] = [cell.x(x), cell.x(x + 1), cell.y(y), cell.y(y + 1)];
    if (x === 0 || !inside(i - 1)) { pen.moveTo(l, a); pen.lineTo(l, b); }
    if (x === W - 1 || !inside(i + 1)) { pen.moveTo(r, a); pen.lineTo(r, b); }
    if (y === 0 || !inside(i - W)) { pen.moveTo(l, a); pen.lineTo(r, a); }
    if (y === H - 1 || !inside(i + W)) { pen.moveTo(l, b); pen.lineTo(r, b); }
  });
  pen.stroke();
}

/** The frame as it is shown, as a picture file. */
function savePicture() {
  paint(get("frame"), state.frame, get("frame").clientWidth, true);
  const name = `${page.title} frame ${state.frame} ${nameOf(current())} r ${page.ratios[state.ratio]} ${modeNow()}`;
  const link = element("a", { href: get("frame").toDataURL("image/png"), download: `${name.replace(/[^\p{L}\p{N}.]+/gu, "-")}.png` });
  link.click();
  paintFrame();
}

/** The large frame, with the token under the pointer. */
function paintFrame() {
  const canvas = get("frame");
  paint(canvas, state.frame, canvas.clientWidth, true);
  if (state.token < 0 || Math.floor(state.token / frameSize) !== state.frame) return;
  const ratio = canvas.width / canvas.clientWidth, pen = canvas.getContext("2d");
  const cell = { x: (x) => Math.round((x * canvas.width) / W), y: (y) => Math.round((y * canvas.height) / H), ratio };
  const x = state.token % W, y = Math.floor(state.token / W) % H;
  pen.strokeStyle = "#000000";
  box(pen, cell, x, y, -1, 4);
  pen.strokeStyle = "#ffffff";
  box(pen, cell, x, y, 0, 2);
}
