// The page's data and how text and numbers get into the document: as text, never as markup.
"use strict";

const page = JSON.parse(document.getElementById("data").textContent);

function get(id) {
  return document.getElementById(id);
}

/** An HTML element; properties are set on the object, so that nothing is parsed. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** An SVG element. */
function shape(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const whole = (n) => n.toLocaleString("en-US");
const percent = (share) => `${(100 * share).toFixed(0)} %`;

/** A typed array of a base64 entry of the data. */
function decoded(entry) {
  const bytes = Uint8Array.from(atob(entry.data), (c) => c.charCodeAt(0));
  const kinds = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
  return new kinds[entry.dtype](bytes.buffer);
}

/** A row of buttons of which one is pressed. Returns a function that presses the one of that value. */
function choice(container, values, label, act) {
  const buttons = values.map((value) => {
    const button = element("button", { type: "button", textContent: label(value) });
    button.addEventListener("click", () => act(value));
    container.append(button);
    return button;
  });
  return (chosen, enabled = () => true) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(values[i] === chosen));
      button.disabled = !enabled(values[i]);
    });
  };
}

/** The button that goes through the system's theme, dark and light. */
function themeButton(button, changed) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let wanted = "auto";
  const apply = () => {
    const dark = wanted === "auto" ? system.matches : wanted === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = { auto: "◐ Auto", dark: "● Dark", light: "○ Light" }[wanted];
    button.setAttribute("aria-label", `Colours: ${wanted}. Switch`);
    changed();
  };
  button.addEventListener("click", () => {
    const order = system.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
    wanted = order[(order.indexOf(wanted) + 1) % 3];
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

/** Where the tokens come from, as a list of terms. */
function describe(list, facts) {
  for (const [key, value] of Object.entries(facts)) {
    list.append(element("dt", { textContent: key.replaceAll("_", " ") }), element("dd", { textContent: value }));
  }
}
