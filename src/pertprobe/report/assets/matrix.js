// The verdict matrix: sorted and paged by DataTables. A large one is made of the data, a small one stands in the page.
const MARKS = ["pass", "mixed", "fail", "not evaluable"];

function cellsByPlace(verdicts) {
  const found = new Map();
  for (let row = 0; row < lengthOf(verdicts); row++) {
    const [program, probe, model, reference, verdict] = ["program", "probe", "model", "reference", "verdict"].map((name) => valueOf(verdicts, name, row));
    const key = JSON.stringify([program, probe, reference ? `${model} vs ${reference}` : model]);
    const cell = found.get(key);
    if (!cell) found.set(key, { row, verdict });
    else if (cell.verdict !== verdict) cell.verdict = "mixed";
  }
  return found;
}

function matrixRows() {
  const cells = cellsByPlace(held.verdicts);
  return held.matrix.programs.map((program) =>
    [program, ...held.matrix.columns.map(({ probe, who }) => cells.get(JSON.stringify([program, probe, who])) ?? null)]);
}

function matrixColumns() {
  const program = { cellType: "th", createdCell: (cell) => cell.setAttribute("scope", "row"),
    render: (value, type) => (type === "display" ? document.createTextNode(value) : value) };
  return [program, ...held.matrix.columns.map(({ probe, who }) => ({
    searchable: false, type: "num", render: (cell, type, row) => {
      if (type !== "display") return cell ? MARKS.indexOf(cell.verdict) : MARKS.length;
      if (!cell) return "";
      const mark = cell.verdict === "not evaluable" ? "n.e." : cell.verdict;
      const label = `${row[0]}, ${probe}, ${who}: ${cell.verdict}`;
      return element("button", { type: "button", class: `cell ${slug(cell.verdict)}`, "data-row": cell.row, "aria-label": label }, mark);
    },
  }))];
}

function makeMatrix(table) {
  const given = table.tBodies[0].rows.length ? {} : { data: matrixRows(), columns: matrixColumns() };
  initialise(table, { ...options(held.matrix.programs.length), titleRow: 1, ...given });
}
if (byId("matrix-table")) whenHeld(() => makeMatrix(byId("matrix-table")));
