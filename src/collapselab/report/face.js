{
// Pictures enlarge in a dialog: a button around each, so that the keyboard reaches it; Esc closes, and focus goes back.
const enlarged = document.createElement("dialog");
enlarged.id = "enlarged";
enlarged.innerHTML = '<form method="dialog"><button autofocus>Close</button></form><figure></figure><p></p>';
document.body.append(enlarged);
enlarged.addEventListener("click", (event) => { if (event.target === enlarged) enlarged.close(); });
for (const picture of document.querySelectorAll(".pictures img")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "enlarge";
  picture.replaceWith(button);
  button.append(picture);
  button.addEventListener("click", () => {
    const copy = new Image();
    copy.src = picture.src;
    copy.alt = picture.alt;
    const scale = Math.min(innerWidth * 0.9 / picture.naturalWidth, innerHeight * 0.75 / picture.naturalHeight);
    copy.width = picture.naturalWidth * Math.min(8, Math.max(0.1, scale));
    enlarged.querySelector("figure").replaceChildren(copy);
    enlarged.querySelector("p").textContent = picture.alt;
    enlarged.setAttribute("aria-label", picture.alt);
    enlarged.showModal();
  });
}

// A slider steps through the generations, arms side by side; without this script all generations stand below each other.
const steps = document.querySelector(".steps");
if (steps) {
  const generations = JSON.parse(steps.dataset.generations);
  const slider = steps.querySelector("input"), all = steps.querySelector("button"), said = steps.querySelector("output");
  const rows = document.querySelectorAll("tr[data-generation]");
  const show = () => {
    const chosen = generations[slider.value], whole = all.getAttribute("aria-pressed") === "true";
    said.textContent = slider.ariaValueText = `generation ${chosen}`;
    for (const row of rows) row.hidden = !whole && Number(row.dataset.generation) !== chosen;
  };
  slider.addEventListener("input", () => { all.setAttribute("aria-pressed", "false"); show(); });
  all.addEventListener("click", () => {
    all.setAttribute("aria-pressed", String(all.getAttribute("aria-pressed") !== "true"));
    show();
  });
  steps.hidden = false;
  show();
}
}
