// The null as a small picture: its spread about its mean, the estimate and its interval.
const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function nullPicture({ estimate, mean, sd, low, high, name }) {
  if (estimate === null || mean === null || !(sd > 0)) return null;
  const ends = [mean - 4 * sd, mean + 4 * sd, estimate, low ?? estimate, high ?? estimate];
  const from = Math.min(...ends), to = Math.max(...ends), width = 420, base = 84;
  const x = (value) => 14 + ((value - from) / (to - from)) * (width - 28);
  const words = `Null of ${name}: mean ${shortNumber(mean)}, standard deviation ${shortNumber(sd)}. Estimate ${shortNumber(estimate)}` +
    (low === null ? "." : `, 95 % interval ${shortNumber(low)} to ${shortNumber(high)}.`);
  const picture = drawn("svg", { class: "null", viewBox: `0 0 ${width} 122`, role: "img", "aria-label": words });
  const curve = Array.from({ length: 81 }, (_, step) => mean + ((step - 40) / 10) * sd)
    .map((value) => `${x(value).toFixed(1)},${(base - 62 * Math.exp(-(((value - mean) / sd) ** 2) / 2)).toFixed(1)}`);
  picture.append(drawn("polygon", { class: "bell", points: `${x(mean - 4 * sd)},${base} ${curve.join(" ")} ${x(mean + 4 * sd)},${base}` }));
  picture.append(drawn("line", { class: "axis", x1: 8, x2: width - 8, y1: base, y2: base }));
  if (low !== null) picture.append(drawn("line", { class: "interval", x1: x(low), x2: x(high), y1: base, y2: base }));
  picture.append(drawn("circle", { class: "estimate", cx: x(estimate), cy: base, r: 5 }));
  const anchor = (value) => (x(value) < 70 ? "start" : x(value) > width - 70 ? "end" : "middle");
  const near = Math.abs(x(mean) - x(estimate)) < 90;
  picture.append(drawn("text", { x: x(mean), y: 102, "text-anchor": anchor(mean) }, `null ${shortNumber(mean)}`));
  picture.append(drawn("text", { class: "strong", x: x(estimate), y: near ? 117 : 102, "text-anchor": anchor(estimate) }, `estimate ${shortNumber(estimate)}`));
  return picture;
}
