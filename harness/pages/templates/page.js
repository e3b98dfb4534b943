"use strict";
// Theme and copying; what every page has.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const prefers = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefers.matches);
  const show = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    document.dispatchEvent(new CustomEvent("theme"));
  };
  try {
    const kept = window.localStorage.getItem("nats-harness-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* a page from a file may have no storage; then the theme is that of the system */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { window.localStorage.setItem("nats-harness-theme", root.dataset.theme); } catch { /* as above */ }
    show();
  });
  prefers.addEventListener("change", show);
  show();

  const copy = async (from, button) => {
    const source = document.getElementById(from);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(source);
      button.textContent = "Selected";
    }
  };
  for (const one of document.querySelectorAll("[data-copy]")) {
    one.addEventListener("click", () => copy(one.dataset.copy, one));
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) if (!one.classList.contains("timeline")) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
})();
