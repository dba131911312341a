// The judging page without a new page for every image. Whatever it does, the forms do without it.
"use strict";
const task = document.getElementById("task");
const stage = document.getElementById("stage");
const status = document.getElementById("status");
const says = task.dataset;
const pendingKey = "judge-pending";
let item = says.item, upcoming = says.upcoming, shownAt = performance.now(), shownTime = Date.now(), zoom = 1;
let pending = null, busy = false; // what is not stored yet; whether the next image is waited for

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function nonce() { // not randomUUID, which plain http has not
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fetched(source) { // an image that is asked for before it is needed
  const image = new Image();
  image.src = source;
  return image.decode().then(() => image, () => image);
}
let ahead = upcoming ? fetched(upcoming) : null;

// -- sending: until an answer comes, with one nonce, so that it is stored once ----------------------------------------

async function send(path, body) {
  if (busy) return; // until the next image is there: nobody judges one that they have not seen
  busy = true;
  pending = { path, body };
  sessionStorage.setItem(pendingKey, JSON.stringify(pending));
  task.setAttribute("aria-busy", "true");
  const told = await answered();
  pending = null;
  sessionStorage.removeItem(pendingKey);
  if (told) await show(told, path);
  task.removeAttribute("aria-busy");
  busy = false;
}

async function answered() {
  for (let pause = 500; ; pause = Math.min(2 * pause, 10000)) {
    try {
      const response = await fetch(pending.path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Form": says.form },
        body: JSON.stringify(pending.body),
        signal: AbortSignal.timeout(20000),
      });
      if (response.ok) return await response.json();
      if (response.status < 500 && response.status !== 429) {
        status.textContent = says.refused;
        if (pending.path !== "/api/undo") setTimeout(() => location.assign("/"), 2000);
        return null;
      }
    } catch (error) { /* no network, or no server: again */ }
    status.textContent = says.unsaved;
    await wait(pause);
  }
}

// -- showing ----------------------------------------------------------------------------------------------------------

async function show(told, path) {
  const undone = path === "/api/undo";
  const { done, of, all_done, all_of } = told.progress || {};
  if (!told.next) { location.assign("/"); return; }
  status.textContent = undone ? says.undone : fill(says.saved, { done, of });
  for (const [name, value, most] of [["mine", done, of], ["all", all_done, all_of]]) {
    const bar = document.getElementById(name);
    bar.value = value; bar.max = most;
    document.getElementById(name + "-words").textContent = fill(says[name], { done: value, of: most });
  }
  const every = Number(says.break), rest = document.getElementById("rest");
  rest.hidden = undone || !every || done % every !== 0;
  rest.textContent = rest.hidden ? "" : fill(says.rest, { done });
  await picture(told.next);
}

const first = document.getElementById("image"); // all images of a round have its size
const width = Number(first.getAttribute("width")), height = Number(first.getAttribute("height"));
const sized = (image) => { image.width = width * zoom; image.height = height * zoom; };

async function picture(next) {
  const old = document.getElementById("image");
  const image = ahead && upcoming === next.image ? await ahead : await fetched(next.image);
  image.id = "image";
  image.alt = fill(says.alt, next);
  image.className = old.className;
  sized(image);
  old.replaceWith(image);
  item = next.id; upcoming = next.upcoming;
  ahead = upcoming ? fetched(upcoming) : null;
  const fields = document.getElementById("answer").elements;
  fields.namedItem("item").value = item;
  fields.namedItem("nonce").value = nonce();
  await new Promise(requestAnimationFrame);
  shownAt = performance.now(); shownTime = Date.now();
}

// -- asking -----------------------------------------------------------------------------------------------------------

function answer(value, by) {
  const image = document.getElementById("image");
  send("/api/judgements", {
    item, answer: value, nonce: nonce(), by, zoom,
    seconds: (performance.now() - shownAt) / 1000,
    shown_at: shownTime, answered_at: Date.now(),
    scale: Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight) || null,
  });
}

document.getElementById("answer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter) answer(event.submitter.value, pressed ? "key" : "pointer");
});
document.getElementById("undo").addEventListener("submit", (event) => {
  event.preventDefault();
  send("/api/undo", { nonce: nonce() });
});
let pressed = false; // whether a button was pressed by the keyboard
document.addEventListener("keydown", () => { pressed = true; }, true);
document.addEventListener("pointerdown", () => { pressed = false; }, true);

const shortcuts = document.getElementById("shortcuts-on");
document.getElementById("shortcuts").hidden = false;
shortcuts.checked = localStorage.getItem("judge-shortcuts") !== "off";
shortcuts.addEventListener("change", () => localStorage.setItem("judge-shortcuts", shortcuts.checked ? "on" : "off"));
const keys = { ArrowLeft: "bad", 1: "bad", ArrowRight: "good", 2: "good" };
document.addEventListener("keydown", (event) => {
  if (!shortcuts.checked || event.repeat || event.altKey || event.metaKey) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
  if (event.key === "Backspace" || (event.ctrlKey && event.key.toLowerCase() === "z")) {
    event.preventDefault();
    send("/api/undo", { nonce: nonce() });
  } else if (!event.ctrlKey && !event.shiftKey && keys[event.key]) {
    event.preventDefault();
    answer(keys[event.key], "key");
  }
});

const zooms = document.getElementById("zoom");
if (zooms) {
  zooms.hidden = false;
  zooms.addEventListener("change", (event) => {
    zoom = Number(event.target.value);
    stage.classList.toggle("zoomed", zoom > 1);
    sized(document.getElementById("image"));
  });
}

first.decode().then(() => { shownAt = performance.now(); shownTime = Date.now(); }, () => {});

addEventListener("beforeunload", (event) => { if (pending) event.preventDefault(); });
const left = sessionStorage.getItem(pendingKey); // of a page that was left before the server had answered
if (left) { const { path, body } = JSON.parse(left); send(path, body); }
