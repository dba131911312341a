// The theme's buttons that open a part of the navigation have no words: screen readers get some.
document.addEventListener("DOMContentLoaded", () => {
  for (const toggle of document.querySelectorAll("summary:has(> .toctree-toggle)")) {
    const link = toggle.closest("li").querySelector("a");
    toggle.setAttribute("aria-label", `Pages below ${link ? link.textContent : "this one"}`);
  }
});
