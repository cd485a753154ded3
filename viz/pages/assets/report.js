// The comparison report: tables with bars, overlap, curves, thumbnails.

const state = { dump: 0, ratio: null, figure: 0, lit: null, relative: false };
const dump = () => page.dumps[state.dump];

function shown(value, column) {
  if (value === null) return "–";
  const text = value.toLocaleString("en-US", { minimumFractionDigits: column.digits, maximumFractionDigits: column.digits });
  return text + column.unit;
}

/** A table whose columns sort when their head is pressed; counts and shares carry a bar. */
function tableOf(table) {
  const title = table.ratio === null ? table.title : `${table.title} (r = ${table.ratio})`;
  const body = element("tbody"), heads = element("tr");
  const order = { column: -1, down: true };
  const fill = () => {
    const value = (row) => (order.column < 0 ? 0 : row.cells[order.column] ?? -Infinity);
    const sorted = [...table.rows].sort((a, b) => (order.down ? value(b) - value(a) : value(a) - value(b)));
    body.replaceChildren(...sorted.map((row) => {
      const name = row.marks ? element("abbr", { textContent: `${row.label} ${row.marks}`, title: row.note }) : row.label;
      const line = element("tr", {}, element("th", { scope: "row" }, name));
      row.cells.forEach((cell, k) => {
        const column = table.columns[k], made = element("td", { textContent: shown(cell, column) });
        const spread = row.spreads[k];
        if (spread !== null) made.append(element("span", { className: "spread", textContent: ` ± ${shown(spread, { ...column, unit: "" })}` }));
        const there = table.rows.map((r) => r.cells[k]).filter((v) => v !== null), top = Math.max(...there);
        // A bar where it tells rows apart: not for cosines, which are all near 1, nor where all are alike.
        if (cell !== null && column.digits < 3 && Math.min(...there) < 0.97 * top) made.style.setProperty("--share", `${(100 * cell) / top}%`);
        line.append(made);
      });
      return line;
    }));
    [...heads.children].forEach((head, k) => {
      if (k > 0) head.setAttribute("aria-sort", k - 1 !== order.column ? "none" : order.down ? "descending" : "ascending");
    });
  };
  heads.append(element("th", { scope: "col" }, element("span", { textContent: page.of })));
  table.columns.forEach((column, k) => {
    const button = element("button", { type: "button", textContent: column.title, title: column.meaning });
    button.addEventListener("click", () => {
      order.down = order.column === k ? !order.down : true;
      order.column = k;
      fill();
    });
    heads.append(element("th", { scope: "col" }, button));
  });
  fill();
  const made = element("table", { "aria-label": title }, element("thead", {}, heads), body);
  return element("div", {}, element("p", { className: "caption", textContent: title }), tellScroll(element("div", { className: "scroll" }, made)));
}

/** The overlap of every two, light where they agree. */
function overlapTable(matrix) {
  const known = matrix.values.flat().filter((v) => v !== null), low = Math.min(...known);
  const many = matrix.names.length > 12, figures = (v) => (many ? v.toFixed(2).replace(/^0/, "") : v.toFixed(2));
  const head = element("tr", {}, element("td"), ...matrix.names.map((_, k) => element("th", { scope: "col", textContent: String(k + 1) })));
  const lines = matrix.names.map((name, i) => {
    const line = element("tr", {}, element("th", { scope: "row", textContent: `${name}  ${i + 1}` }));
    matrix.values[i].forEach((value, j) => {
      const cell = element("td", { textContent: value === null ? "·" : figures(value) });
      if (value === null) Object.assign(cell, { className: "quiet", title: i === j ? `${name}: one run alone` : `${name} and ${matrix.names[j]}: never in one run` });
      if (value !== null) {
        const share = low < 1 ? (value - low) / (1 - low) : 1;
        const ground = mixed(share);
        cell.style.background = `rgb(${ground.join(" ")})`;
        cell.style.color = inkOn(ground);
        cell.title = `${name} and ${matrix.names[j]}: ${value.toFixed(3)}`;
      }
      line.append(cell);
    });
    return line;
  });
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
}

/** From dark blue to yellow ("cividis"), which reads in grey too. */
function mixed(share) {
  const stops = [[0, 34, 78], [87, 93, 109], [124, 123, 120], [187, 175, 113], [254, 232, 56]];
  const at = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1), i = Math.floor(at);
  return stops[i].map((v, k) => Math.round(v + (at - i) * (stops[i + 1][k] - v)));
}

/** Black or white, whichever stands out more (WCAG's contrast). */
function inkOn(rgb) {
  const [r, g, b] = rgb.map((v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (light + 0.05) / 0.05 > 1.05 / (light + 0.05) ? "#000000" : "#ffffff";
}

/** Tells where a box has more than it shows: its edge fades there. */
function tellScroll(box) {
  const tell = () => {
    const left = box.scrollLeft > 1, right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
    box.dataset.more = left && right ? "both" : left ? "left" : right ? "right" : "";
    box.tabIndex = left || right ? 0 : -1;
  };
  box.addEventListener("scroll", tell);
  new ResizeObserver(tell).observe(box);
  return box;
}

/** Figures against the ratio: {columns, curves: label -> [[r, value]]}. */
function curvesNow() {
  const tables = dump().tables.filter((t) => t.ratio !== null);
  const titles = [...new Set(tables.flatMap((t) => t.columns.map((c) => c.title)))];
  const title = titles[Math.min(state.figure, titles.length - 1)], curves = new Map();
  let column = null;
  for (const table of [...tables].sort((a, b) => a.ratio - b.ratio)) {
    const k = table.columns.findIndex((c) => c.title === title);
    if (k < 0) continue;
    column = table.columns[k];
    for (const row of table.rows) {
      if (row.cells[k] === null) continue;
      if (!curves.has(row.label)) curves.set(row.label, []);
      curves.get(row.label).push([table.ratio, row.cells[k]]);
    }
  }
  return { titles, column, curves: state.relative ? differences(curves) : curves };
}

/** Each curve less the first one, at the ratios both have. */
function differences(curves) {
  const first = new Map([...curves.values()][0]);
  return new Map([...curves].map(([name, list]) => [name, list.filter(([r]) => first.has(r)).map(([r, v]) => [r, v - first.get(r)])]));
}

const look = (i) => ({ colour: page.palette.lines[i % page.palette.lines.length], dash: ["", "6 3", "2 3"][Math.floor(i / page.palette.lines.length) % 3] });

function drawCurves(svg, width, height) {
  const { column, curves } = curvesNow();
  const points = [...curves.values()].flat();
  if (points.length === 0) return "No figures";
  const [left, right, top, bottom] = [52, width - 12, 10, height - 32];
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const pad = (Math.max(...ys) - Math.min(...ys)) * 0.06 || Math.abs(ys[0]) * 0.05 || 1;
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys) - pad, Math.max(...ys) + pad];
  const x = (v) => (x0 === x1 ? (left + right) / 2 : left + ((v - x0) / (x1 - x0)) * (right - left));
  const y = (v) => bottom - ((v - y0) / (y1 - y0)) * (bottom - top);
  const step = roundStep((y1 - y0) / 4), digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  for (let v = Math.ceil(y0 / step) * step; v <= y1; v += step) {
    svg.append(line(left, y(v), right, y(v), "gridline"), label(left - 6, y(v) + 4, shown(Math.round(v / step) * step || 0, { ...column, digits }), "end"));
  }
  for (const r of new Set(xs)) svg.append(label(x(r), bottom + 15, String(r), "middle"));
  svg.append(label((left + right) / 2, height - 3, "retain ratio r", "middle"));
  [...curves].forEach(([name, list], i) => {
    const { colour, dash } = look(i);
    const group = shape("g", { class: state.lit !== null && state.lit !== name ? "faint" : "" });
    group.append(shape("polyline", { points: list.map(([r, v]) => `${x(r)},${y(v)}`).join(" "), stroke: colour, "stroke-dasharray": dash }));
    for (const [r, v] of list) {
      group.append(shape("circle", { cx: x(r), cy: y(v), r: 3.2, fill: colour }, shape("title", {}, `${name}, r = ${r}: ${shown(v, column)}`)));
    }
    svg.append(group);
  });
  return `${column.title} against the retain ratio, ${curves.size} curves`;
}

const redrawCurves = chart("curves", 250, drawCurves);

function showKey() {
  const buttons = [...curvesNow().curves.keys()].map((name, i) => {
    const { colour, dash } = look(i);
    const sample = shape("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, shape("line", { x1: 0, x2: 22, y1: 5, y2: 5, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash }));
    const button = element("button", { type: "button", "aria-pressed": "false" }, sample, name);
    const light = (on) => () => {
      state.lit = on ? name : null;
      redrawCurves();
    };
    button.addEventListener("pointerenter", light(true));
    button.addEventListener("pointerleave", light(false));
    button.addEventListener("focus", light(true));
    button.addEventListener("blur", light(false));
    return button;
  });
  get("curvekey").replaceChildren(...buttons);
}

function showFigure() {
  const { titles, column, curves } = curvesNow();
  get("figure").replaceChildren(...titles.map((title, i) => element("option", { value: String(i), textContent: title })));
  get("figure").value = String(Math.min(state.figure, titles.length - 1));
  get("curvetitle").textContent = column === null ? "Against the retain ratio" : `${column.meaning}${state.relative ? `, less that of ${[...curves.keys()][0]}` : ""}`;
  get("relative").parentElement.hidden = curves.size < 2;
  showKey();
  redrawCurves();
}

function showRatio() {
  const now = dump();
  pressRatio(state.ratio);
  const tables = now.tables.filter((t) => t.ratio === null || t.ratio === state.ratio);
  get("tables").replaceChildren(...tables.map(tableOf));
  const noted = new Map(tables.flatMap((t) => t.rows).filter((row) => row.note).map((row) => [row.label, row.note]));
  get("notes").hidden = noted.size === 0;
  get("noted").replaceChildren(...[...noted].flatMap(([name, note]) => [element("dt", { textContent: name }), element("dd", { textContent: note })]));
  const matrix = now.overlap.find((m) => m.ratio === state.ratio);
  get("overlap").parentElement.hidden = !matrix;
  if (matrix) get("overlap").replaceChildren(overlapTable(matrix));
  get("thumbs").hidden = now.thumbs === null;
  if (now.thumbs !== null) get("film").replaceChildren(film(now.thumbs, state.ratio));
}

let pressRatio = () => undefined;

function showDump() {
  const now = dump();
  state.ratio = now.ratios.includes(state.ratio) ? state.ratio : now.ratios.includes(0.3) ? 0.3 : now.ratios[Math.floor(now.ratios.length / 2)];
  get("facts").textContent = `${now.name}: ${now.facts}`;
  get("sentences").replaceChildren(...now.sentences.map((text) => element("li", { textContent: text })));
  get("ratio").replaceChildren(element("span", { textContent: "Retain ratio r" }));
  pressRatio = choice(get("ratio"), now.ratios, String, (ratio) => {
    state.ratio = ratio;
    showRatio();
  });
  get("about").replaceChildren();
  describe(get("about"), now.about);
  get("reasons").replaceChildren();
  get("skipped").hidden = now.skipped.length === 0;
  for (const { label: name, reason } of now.skipped) get("reasons").append(element("dt", { textContent: name }), element("dd", { textContent: reason }));
  const nearest = curvesNow().titles.indexOf("nearest");
  state.figure = nearest < 0 ? 0 : nearest;
  showRatio();
  showFigure();
}

document.title = page.title;
get("title").textContent = page.title;
get("dumps").hidden = page.dumps.length < 2;
page.dumps.forEach((d, i) => get("dump").append(element("option", { value: String(i), textContent: d.name })));
get("dump").addEventListener("change", (event) => {
  state.dump = Number(event.target.value);
  showDump();
});
get("figure").addEventListener("change", (event) => {
  state.figure = Number(event.target.value);
  showFigure();
});
get("relative").addEventListener("change", (event) => {
  state.relative = event.target.checked;
  showFigure();
});
themeButton(get("theme"), () => undefined);
tellScroll(get("overlap"));
tellScroll(get("film"));
showDump();
