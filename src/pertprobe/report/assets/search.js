// The search box: programs, genes, models and probes by any part of their name.
const search = byId("search"), hits = byId("hits");
const MOST_HITS = 12;

function searchable() {
  const cards = new Map(held.cards.map((program, place) => [program, `#program-${place}`]));
  const link = (program) => cards.get(program) ?? "#programs";
  const found = [];
  for (const name of Object.keys(held.models)) found.push({ name, kind: "model", href: `#model-${name}` });
  for (const name of Object.keys(held.probes)) found.push({ name, kind: "probe", href: `#probe-${name}` });
  for (const name of cards.keys()) found.push({ name, kind: "program", href: link(name) });
  const programs = new Map();
  for (const [program, genes] of Object.entries(held.genes))
    for (const gene of genes) programs.set(gene, [...(programs.get(gene) ?? []), program]);
  for (const [gene, names] of programs)
    for (const program of names) found.push({ name: gene, kind: `gene of ${program}`, href: link(program) });
  return found.map((each) => ({ ...each, lower: each.name.toLowerCase() }));
}
let index = null;

function find() {
  index ??= searchable();
  const wanted = search.value.trim().toLowerCase();
  const matches = wanted ? index.filter((each) => each.lower.includes(wanted)) : [];
  matches.sort((one, other) => other.lower.startsWith(wanted) - one.lower.startsWith(wanted) || one.name.length - other.name.length);
  const shown = matches.slice(0, MOST_HITS).map(({ name, kind, href }) =>
    element("li", {}, element("a", { href }, name, element("span", { class: "soft" }, ` ${kind}`))));
  if (matches.length > MOST_HITS) shown.push(element("li", { class: "soft" }, `and ${matches.length - MOST_HITS} more`));
  if (wanted && !matches.length) shown.push(element("li", { class: "soft" }, "Nothing is called so"));
  hits.replaceChildren(...shown);
}
search.addEventListener("input", () => whenHeld(find));
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") hits.querySelector("a")?.click();
  if (event.key === "Escape") { search.value = ""; find(); }
});
hits.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link) return;
  if (!byId(link.hash.slice(1))) makeCards();
  if (link.hash === location.hash) reveal(link.hash);  // the same place again changes no hash
});
