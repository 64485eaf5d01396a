// Sortable tables, by DataTables: those in the page as they are, longer ones made of the data, a page of rows at a time.
const PAGE = 25;
const TAGGED = new Set(["verdict", "answer", "gate"]);
const made = [];

// What is missing, which DataTables reads as the smallest number, comes last either way.
const missing = (value) => value === "" || value === -Infinity;
const missingLast = (sign) => (one, other) => missing(one) - missing(other) || (missing(one) ? 0 : sign * (one - other));
for (const type of ["num", "num-fmt", "html-num"])
  for (const [way, sign] of [["asc", 1], ["desc", -1]]) DataTable.ext.type.order[`${type}-${way}`] = missingLast(sign);

// A heading is a button: the space bar presses it as Enter does.
document.addEventListener("keydown", (event) => {
  const heading = event.key === " " && event.target.closest("thead [role=button], thead th[tabindex]");
  if (!heading) return;
  event.preventDefault();
  heading.click();
});

function options(rows) {
  const long = rows > PAGE;
  return {
    order: [], autoWidth: false, paging: long, searching: rows > 8, info: long, pageLength: PAGE,
    layout: { topStart: null, topEnd: rows > 8 ? "search" : null, bottomStart: long ? "info" : null, bottomEnd: long ? "paging" : null },
    language: { search: "Search this table: ", info: "_START_ to _END_ of _TOTAL_ rows", emptyTable: "No rows", zeroRecords: "No row matches" },
  };
}

function shownAs(name) {
  return (value, type) => {
    if (type !== "display") return value ?? "";
    if (!TAGGED.has(name) || !value) return document.createTextNode(shortNumber(value));
    return element("span", { class: `tag ${slug(value)}` }, value);
  };
}

function heldTable(table, columns) {
  const names = [...table.tHead.querySelectorAll("th")].map((head) => head.dataset.column);
  const rows = Array.from({ length: lengthOf(columns) }, (_, row) => names.map((name) => valueOf(columns, name, row)));
  const settings = names.map((name) => ({
    render: shownAs(name), className: ["sentence", "reason", "why", "note"].includes(name) ? "words" : "",
  }));
  return { ...options(rows.length), data: rows, columns: settings };
}

function initialise(table, settings) {
  made.push(new DataTable(table, settings));
  const pages = table.closest(".dt-container").querySelector("nav");
  pages?.setAttribute("aria-label", `Pages of ${table.id}`);  // landmarks are told apart by their names
}

function makeTable(table) {
  if (!table.dataset.held) return initialise(table, options(table.tBodies[0].rows.length));
  return whenHeld(() => {
    const columns = table.id === "verdicts-table" ? held.verdicts : held.tables[table.id];
    initialise(table, heldTable(table, columns));
  });
}

// Tables in closed parts are made when these are opened: a page with many of them opens at once.
function makeTables(part) {
  for (const table of part.querySelectorAll("table.sortable")) {
    if (table.dataset.made || table.closest("details:not([open])")) continue;
    table.dataset.made = "true";
    makeTable(table);
  }
}
makeTables(document);
document.addEventListener("toggle", (event) => { if (event.target.open) makeTables(event.target); }, true);
