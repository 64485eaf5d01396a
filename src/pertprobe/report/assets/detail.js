// One cell of the matrix in full: verdict in words, evidence, null, figure of the probe, and where the data lie.
const detail = byId("detail");
const NAMES = {
  estimate: "estimate", ci_low: "95 % low", ci_high: "95 % high", null_mean: "null, mean", null_sd: "null, sd", effect: "effect", d: "effect, sd of others",
  d_low: "90 % low", d_high: "90 % high", p: "p", p_stratified: "p, strength held", q: "q", n: "n", n_background: "n of the background",
  n_permutations: "permutations", ceiling: "ceiling", disattenuated: "share of the ceiling", share_low: "share, 95 % low", share_high: "share, 95 % high",
  excess_redrawn: "more than untrained copies", excess_redrawn_low: "90 % low", excess_redrawn_high: "90 % high",
  excess_rivals: "more than rivals", excess_rivals_low: "95 % low", excess_rivals_high: "95 % high", power: "power", smallest_effect: "smallest effect found",
  planted_control: "planted control", lookup_control: "lookup control", covariation_control: "co-variation control", planted: "planted in the data",
};
let borrowed = null;

function sameQuestion(row) {
  const keys = ["probe", "model", "reference", "program"];
  const wanted = keys.map((key) => valueOf(held.verdicts, key, row));
  const among = (columns) => Array.from({ length: lengthOf(columns) }, (_, other) => other)
    .filter((other) => keys.every((key, place) => valueOf(columns, key, other) === wanted[place]));
  return { verdicts: among(held.verdicts), others: among(held.further) };
}

function evidenceTable(columns, row) {
  const body = element("tbody");
  for (const [name, words] of Object.entries(NAMES)) {
    const value = valueOf(columns, name, row);
    if (value === null || value === "" || value === "absent") continue;
    body.append(element("tr", {}, element("th", { scope: "row" }, words), element("td", {}, shortNumber(value))));
  }
  return element("table", { class: "evidence" }, element("caption", {}, "Evidence row"), body);
}

function othersTable(columns, rows) {
  const names = ["statistic", "panel", "estimate", "null_mean", "p", "q"];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, NAMES[name] ?? name)));
  const body = rows.map((row) => element("tr", {}, ...names.map((name, place) =>
    element(place ? "td" : "th", place ? {} : { scope: "row" }, String(shortNumber(valueOf(columns, name, row)))))));
  const table = element("table", {}, element("caption", {}, "Other statistics of the same question"), element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "scroll" }, table);
}

function files(columns, row) {
  const [probe, model, reference] = ["probe", "model", "reference"].map((name) => valueOf(columns, name, row));
  const measured = held.probes[probe].measured;
  const paths = [`evidence/${probe}.tsv`, `evidence/${probe}/${reference ? `${model}-vs-${reference}` : model}.tsv`, "verdicts.tsv",
    `measurements/${measured}/${model}.nc`, ...(reference ? [`measurements/${measured}/${reference}.nc`] : []), `figures/${probe}.pdf`];
  return element("ul", { class: "files" }, ...paths.map((path) => element("li", {}, element("a", { href: path }, path))));
}

function oneVerdict(row) {
  const value = (name) => valueOf(held.verdicts, name, row);
  const part = element("div", { class: "verdict" }), words = element("div");
  const panel = value("panel");
  words.append(element("p", { class: "lead" }, element("span", { class: `tag ${slug(value("verdict"))}` }, value("verdict")), ` ${panel ? `Panel ${panel}: ` : ""}${value("sentence")}`));
  const picture = nullPicture({ name: value("statistic").replaceAll("_", " "), estimate: value("estimate"), mean: value("null_mean"), sd: value("null_sd"), low: value("ci_low"), high: value("ci_high") });
  if (picture) words.append(picture);
  const conditions = value("conditions");
  if (conditions) words.append(element("p", {}, `Conditions, with what was found: ${conditions}.`));
  if (value("reason")) words.append(element("p", { class: "soft" }, `As the table has it: ${value("reason")}.`));
  part.append(words, evidenceTable(held.verdicts, row));
  return part;
}

function borrowFigure(probe, place) {
  // A figure stands in the page once; the detail borrows it and gives it back.
  const figure = byId(`figure-${probe}`);
  if (!figure) return;
  borrowed = { figure, home: figure.parentElement };
  place.append(figure);
}

function showDetail(row) {
  const value = (name) => valueOf(held.verdicts, name, row);
  const { verdicts, others } = sameQuestion(row);
  byId("detail-title").textContent = `${value("program")}, ${value("probe")}, ${value("model")}${value("reference") ? ` against ${value("reference")}` : ""}`;
  const body = byId("detail-body");
  body.replaceChildren(element("p", { class: "soft" }, held.probes[value("probe")].question), ...verdicts.map((each) => oneVerdict(each)));
  if (others.length) body.append(othersTable(held.further, others));
  body.append(element("h3", {}, "Data"), files(held.verdicts, row));
  borrowFigure(value("probe"), body);
  detail.showModal();
  byId("detail-title").focus();
}

detail.addEventListener("close", () => {
  borrowed?.home.append(borrowed.figure);
  borrowed = null;
});
detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
byId("detail-close").addEventListener("click", () => detail.close());
document.addEventListener("click", (event) => {
  const cell = event.target.closest("button.cell");
  if (cell) whenHeld(() => showDetail(Number(cell.dataset.row)));
});
