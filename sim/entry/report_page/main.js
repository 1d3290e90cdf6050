// What the data is decides what the page shows.

function show(data) {
  let heading, sections, facts;
  if (data.points) {
    heading = `Sweep ${data.name}`;
    sections = sweepSections(data);
    facts = [["points", number(data.points.length)],
      ["with a result", number(window.sweep.good.length)]];
  } else if (data.systems && data.systems[0].rows) {
    heading = `What fits: ${data.systems.map((system) => system.scenario).join(" and ")}`;
    sections = mapSections(data);
    facts = [["systems", data.systems.length]];
  } else if (data.systems) {
    heading = data.systems.map((system) => system.scenario).join(" and ");
    sections = capacitySections(data);
    facts = [["systems", data.systems.length], ["version", at(data, "systems.0.result.version")]];
  } else {
    heading = data.scenario;
    sections = runSections(data);
    facts = runFacts(data);
  }
  document.title = `${heading} – Tandem`;
  document.getElementById("title").textContent = heading;
  document.getElementById("facts").append(...facts.map(([name, value]) =>
    make("li", {}, `${name} `, make("b", {}, String(value)))));
  document.getElementById("content").append(...sections);
  drawPending();
}

show(JSON.parse(document.getElementById("data").textContent));
