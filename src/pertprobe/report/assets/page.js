// What all pages do: the menu of the phone, the section that is read, terms, and links into closed parts.
const byId = (name) => document.getElementById(name);

function element(tag, attributes = {}, ...children) {
  // Texts are set as texts: no value of the data is ever read as HTML.
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function openMenu(open) {
  byId("sidebar").classList.toggle("open", open);
  byId("menu").setAttribute("aria-expanded", String(open));
}
byId("menu").addEventListener("click", () => openMenu(!byId("sidebar").classList.contains("open")));
byId("sidebar").addEventListener("click", (event) => { if (event.target.closest("nav a, #hits a")) openMenu(false); });

function reveal(hash) {
  // A link may lead into a part that is closed: open what holds it.
  const target = hash.length > 1 && byId(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", () => reveal(location.hash));
addEventListener("load", () => reveal(location.hash));

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const seen = new Set();
const reading = new IntersectionObserver((entries) => {
  for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
  const first = [...links.keys()].find((name) => seen.has(name));
  links.forEach((link, name) => (name === first ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
}, { rootMargin: "0px 0px -70% 0px" });
for (const name of links.keys()) if (byId(name)) reading.observe(byId(name));

const tip = byId("tip");
function explain(term) {
  tip.textContent = byId(term.hash.slice(1))?.nextElementSibling.textContent ?? "";
  tip.hidden = false;
  const place = term.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - tip.offsetWidth - 8))}px`;
  const below = place.bottom + 6;
  tip.style.top = `${below + tip.offsetHeight < innerHeight ? below : place.top - tip.offsetHeight - 6}px`;
  term.setAttribute("aria-describedby", "tip");
}
function explained(term) {
  tip.hidden = true;
  term.removeAttribute("aria-describedby");
}
for (const term of document.querySelectorAll("a.term")) {
  term.addEventListener("mouseenter", () => explain(term));
  term.addEventListener("focus", () => explain(term));
  term.addEventListener("mouseleave", () => explained(term));
  term.addEventListener("blur", () => explained(term));
}
addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

async function heldData() {
  // JSON, gzipped, in base64: small in the file, and read once.
  const bytes = Uint8Array.from(atob(byId("data").textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
let held = null;
const data = new Promise((read) => {
  // After the page is shown: it can be read before.
  if (byId("data")) addEventListener("load", () => setTimeout(() => heldData().then((found) => { held = found; read(found); })));
});
function whenHeld(act) {
  if (held) act();
  else data.then(act);
}

function valueOf(columns, name, row) {
  const column = columns[name];
  if (column === undefined) return null;
  return Array.isArray(column) ? column[row] : column.words[column.codes[row]];
}
function lengthOf(columns) {
  const first = Object.values(columns)[0];
  return Array.isArray(first) ? first.length : first.codes.length;
}
function shortNumber(value) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value !== "number") return value;
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(3)));
}
function slug(text) {
  return text.replace(/[^A-Za-z0-9_]+/g, "-");
}
