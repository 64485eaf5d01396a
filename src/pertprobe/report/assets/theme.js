// The theme: what the reader chose before, otherwise what the system prefers. Runs before anything is painted.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("pertprobe-theme"); } catch { /* a page opened from a file may keep nothing */ }
  const apply = () => {
    const dark = chosen ? chosen === "dark" : prefers.matches;
    root.classList.toggle("dark", dark);
    root.classList.toggle("light", !dark);
    const button = document.getElementById("theme");
    if (button) button.textContent = dark ? "Light" : "Dark";
  };
  prefers.addEventListener("change", apply);
  apply();
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = root.classList.contains("dark") ? "light" : "dark";
      try { localStorage.setItem("pertprobe-theme", chosen); } catch { /* as above */ }
      apply();
    });
  });
})();
