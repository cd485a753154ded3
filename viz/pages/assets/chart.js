// Small charts in SVG, drawn anew at the width they are given.

const charts = [];

/** Keep a chart in the element `id`; `draw(svg, width)` fills it and returns what a screen reader says. */
function chart(id, height, draw) {
  const container = get(id);
  const redraw = () => {
    const width = Math.max(200, container.clientWidth);
    const tall = typeof height === "function" ? height() : height;
    const svg = shape("svg", { viewBox: `0 0 ${width} ${tall}`, height: tall, role: "group" });
    svg.setAttribute("aria-label", draw(svg, width, tall));
    container.replaceChildren(svg);
  };
  charts.push(redraw);
  let last = container.clientWidth;
  new ResizeObserver(() => {
    if (container.clientWidth !== last) {
      last = container.clientWidth;
      redraw();
    }
  }).observe(container);
  return redraw;
}

function line(x1, y1, x2, y2, kind) {
  return shape("line", { x1, y1, x2, y2, class: kind });
}

function label(x, y, text, anchor = "start", kind = "") {
  return shape("text", { x, y, "text-anchor": anchor, class: kind }, text);
}

function bar(x, y, width, height, kind, title) {
  const rect = shape("rect", { x, y, width: Math.max(0, width), height: Math.max(0, height), class: kind });
  if (title) rect.append(shape("title", {}, title));
  return rect;
}

/** The next of 1, 2, 5, 10, ... times a power of ten. */
function roundStep(rough) {
  const unit = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
}

/** Horizontal grid lines at round values up to `top`, with their labels; returns the scale. */
function verticalScale(svg, box, top, format) {
  const step = roundStep(top / 3);
  const scale = (value) => box.bottom - (value / top) * (box.bottom - box.top);
  for (let value = 0; value <= top * 1.0001; value += step) {
    svg.append(line(box.left, scale(value), box.right, scale(value), value ? "gridline" : "axis"));
    svg.append(label(box.left - 5, scale(value) + 4, format(value), "end"));
  }
  return scale;
}
