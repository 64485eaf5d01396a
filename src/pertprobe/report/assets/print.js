// Print has it all: what is closed is opened, every row is shown, and what is wider than the paper becomes smaller.
const PAPER = 1020;
const MOST_PRINTED = 2000;  // rows of a table; its caption names the file that has all
let restore = [];

function beforePrint() {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    restore.push(() => { part.open = false; });
  }
  makeCards();
  makeTables(document);
  for (const table of made) {
    const length = table.page.len();
    const { pages, recordsTotal } = table.page.info();
    if (length < 0 || pages < 2 || recordsTotal > MOST_PRINTED) continue;
    table.page.len(-1).draw(false);
    restore.push(() => table.page.len(length).draw(false));
  }
  for (const table of document.querySelectorAll("main table")) {
    if (table.scrollWidth <= PAPER) continue;
    table.style.zoom = PAPER / table.scrollWidth;
    restore.push(() => { table.style.zoom = ""; });
  }
}
addEventListener("beforeprint", beforePrint);
addEventListener("afterprint", () => { restore.splice(0).forEach((undo) => undo()); });
