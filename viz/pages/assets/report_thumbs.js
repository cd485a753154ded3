// Thumbnails: what is kept of a frame.

const arrays = page.arrays.map(decoded);

/** Draw one frame: the picture where there is one, dropped tokens dark, a line around those kept for one reason. */
function paintThumb(canvas, image, codes, H, W) {
  const ratio = Math.min(2, devicePixelRatio || 1), width = Math.max(80, canvas.clientWidth);
  const aspect = image ? image.naturalWidth / image.naturalHeight : W / H;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round((width / aspect) * ratio);
  const pen = canvas.getContext("2d");
  if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  else {
    pen.fillStyle = "#8a8f98";
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }
  const at = (k, count, length) => Math.round((k * length) / count);
  const { representative, event, other } = page.palette;
  for (let y = 0; y < H; y++) {
    for (let x = 0; x < W; x++) {
      const code = codes[y * W + x], l = at(x, W, canvas.width), t = at(y, H, canvas.height);
      const w = at(x + 1, W, canvas.width) - l, h = at(y + 1, H, canvas.height) - t;
      if (code === 0) {
        pen.fillStyle = "rgb(10 12 16 / 0.72)";
        pen.fillRect(l, t, w, h);
        continue;
      }
      const unlike = (dx, dy) => x + dx < 0 || x + dx >= W || y + dy < 0 || y + dy >= H || codes[(y + dy) * W + x + dx] !== code;
      const border = (colour, inset) => {
        pen.fillStyle = colour;
        if (unlike(0, -1)) pen.fillRect(l, t + inset, w, ratio);
        if (unlike(0, 1)) pen.fillRect(l, t + h - inset - ratio, w, ratio);
        if (unlike(-1, 0)) pen.fillRect(l + inset, t, ratio, h);
        if (unlike(1, 0)) pen.fillRect(l + w - inset - ratio, t, ratio, h);
      };
      border(code === 1 ? representative : code <= 3 ? event : other, 0);
      if (code === 3) border(representative, 1.5 * ratio);
    }
  }
}

/** A grid of thumbnails: a row for each of the compared, a column for each frame. */
function film(thumbs, ratio) {
  const [, H, W] = thumbs.grid;
  const table = element("div", { className: "film" });
  table.style.gridTemplateColumns = `minmax(90px, 150px) repeat(${thumbs.frames.length}, minmax(70px, 1fr))`;
  table.append(element("span"));
  for (const { t, time } of thumbs.frames) {
    table.append(element("span", { className: "head", textContent: `frame ${t}${time === null ? "" : ` · ${time.toFixed(0)} s`}` }));
  }
  const images = thumbs.frames.map((_, k) => {
    if (thumbs.pictures === null) return Promise.resolve(null);
    const image = new Image();
    image.src = `data:image/jpeg;base64,${thumbs.pictures[k]}`;
    return image.decode().then(() => image, () => null);
  });
  for (const { label: name, codes } of thumbs.kept) {
    table.append(element("span", { className: "name", textContent: name }));
    const all = arrays[codes[String(ratio)]];
    thumbs.frames.forEach(({ t }, k) => {
      const part = all.subarray(k * H * W, (k + 1) * H * W);
      const n = part.reduce((sum, code) => sum + (code > 0), 0);
      const canvas = element("canvas", { role: "img", "aria-label": `${name}, frame ${t}: ${n} of ${H * W} tokens kept`, title: `${n} of ${H * W} kept` });
      table.append(canvas);
      images[k].then((image) => paintThumb(canvas, image, part, H, W));
    });
  }
  return table;
}
