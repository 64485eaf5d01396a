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

function matrixColumns() {
  const cells = cellsByPlace(held.verdicts);
  return held.matrix.columns.map(({ probe, who }) => ({
    orderSequence: ["asc", "desc"],
    render: (_, type, program) => {
      const cell = cells.get(JSON.stringify([program[0], probe, who]));
      if (type !== "display") return cell ? MARKS.indexOf(cell.verdict) : 9;
      if (!cell) return "";
      const mark = cell.verdict === "not evaluable" ? "n.e." : cell.verdict;
      const label = `${program[0]}, ${probe}, ${who}: ${cell.verdict}`;
      return element("button", { type: "button", class: `cell ${slug(cell.verdict)}`, "data-row": cell.row, "aria-label": label }, mark);
    },
  }));
}

function makeMatrix(table) {
  const large = table.tBodies[0].rows.length === 0;
  const given = { ...options(held.matrix.programs.length), searching: held.matrix.programs.length > 8, titleRow: 1 };
  if (large) {
    given.data = held.matrix.programs.map((program) => [program]);
    const program = { createdCell: (cell) => cell.setAttribute("scope", "row"), cellType: "th", render: (value) => document.createTextNode(value) };
    given.columns = [{ ...program, data: 0, render: (value, type) => (type === "display" ? document.createTextNode(value) : value) }, ...matrixColumns().map((column) => ({ data: null, ...column }))];
  }
  made.push(new DataTable(table, given));
}
if (byId("matrix-table")) whenHeld(() => makeMatrix(byId("matrix-table")));
