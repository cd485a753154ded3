// Everything is put together.

document.title = `${page.title}: stgraph view`;
get("title").textContent = page.title;
get("facts").textContent =
  `${whole(T)} frames of ${H} × ${W} tokens, ${whole(N)} in all${page.tau_sim === null ? "" : `; tokens are joined above a cosine of ${page.tau_sim}`}. ` +
  "Point at a token, or tap it, to see what is known of it.";
describe(get("about"), page.about);

startSwitches();
startTime();
startStrip();
startCharts();
startToken();

watch(["setting", "ratio", "versus"], tellStory);
watch(["mode", "setting", "ratio", "versus"], showLegend);
watch(["frame", "token", "mode", "setting", "ratio", "versus", "focus", "opacity", "theme", "pictures", "size"], paintFrame);
watch(["mode", "setting", "ratio", "versus", "focus", "opacity", "theme", "pictures", "size"], paintStrip);
watch(["frame"], () => thumbs.forEach(({ button }, t) => button.setAttribute("aria-current", String(t === state.frame))));
watch(["frame", "mode", "setting"], () => {
  get("frame").setAttribute("aria-label", `Frame ${state.frame}, overlay: ${modeNow()}. Shift and arrow keys move over its tokens`);
});

document.addEventListener("keydown", onKey);
Object.assign(state, changeOf(location.hash));
addEventListener("hashchange", () => location.hash !== addressNow() && update(changeOf(location.hash)));
if (location.protocol === "file:" || location.protocol.startsWith("http")) {
  watch(["frame", "setting", "ratio", "mode", "versus"], () => state.playing || history.replaceState(null, "", addressNow()));
}
get("save").addEventListener("click", savePicture);
addEventListener("resize", () => update({ size: `${innerWidth} ${innerHeight}` }));
document.documentElement.style.setProperty("--aspect", String(aspect()));
themeButton(get("theme"), () => update({ theme: state.theme + 1 }));
for (const { act } of watchers) act();
loadPictures();
