// Cards of programs beyond those that stand in the page: made of the data when their part is opened.
function card({ place, program, models, open, compared }) {
  const said = models.map(({ name, answer, sentences }) => element("div", {},
    element("dt", {}, name, ...(answer ? [" ", element("span", { class: `tag ${slug(answer)}` }, answer)] : [])),
    element("dd", {}, sentences.join(" "))));
  const below = [...open.map((words) => element("p", { class: "open" }, words)), ...compared.map((words) => element("p", { class: "compared" }, words))];
  return element("article", { class: "card", id: `program-${place}`, "data-program": program }, element("h3", {}, program), element("dl", {}, ...said), ...below);
}

function makeCards() {
  const place = byId("further-programs")?.querySelector(".cards");
  if (!place || !held || !held.further_cards.length) return;
  place.append(...held.further_cards.splice(0).map(card));
}
byId("further-programs")?.addEventListener("toggle", () => whenHeld(makeCards));
whenHeld(() => {  // a link to a card that is not made yet
  if (location.hash.startsWith("#program-") && !byId(location.hash.slice(1))) { makeCards(); reveal(location.hash); }
});
