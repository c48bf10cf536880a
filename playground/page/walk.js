// A walk, for tests: the part "walk" of a link presses buttons and moves the slider, and the page then writes down what
// it shows after each. "to:20" moves the slider, "step*3" presses the button "step" three times, "choose:1.1" presses a
// task, "focus:1.1" focuses it, and "key:ArrowLeft" presses a key there. "open:LINK" opens an encoded link, "speed:30" sets
// the steps per second, and "settle" waits until a run stops.
const walk = {
  // Splits a link into the run and the walk.
  split(hash) {
    const parts = hash.replace(/^#/, "").split("&");
    const is_walk = (part) => part.startsWith("walk=");
    const walk = parts.find(is_walk)?.slice("walk=".length);
    return [parts.filter((part) => !is_walk(part)).join("&"), walk];
  },

  async take(path) {
    const shown = [this.read()];
    for (const part of path.split(",").filter((part) => part !== "").slice(0, 1000)) {
      const [verb, object] = part.split(":");
      if (verb === "to") {
        element("slider").value = object;
        element("slider").dispatchEvent(new Event("input"));
      } else if (verb === "open") {
        player.open(decodeURIComponent(object));
      } else if (verb === "speed") {
        element("speed").value = object;
      } else if (verb === "settle") {
        while (player.direction !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
      } else if (verb === "focus") {
        picture.items.get(object).firstChild.focus();
      } else if (verb === "key") {
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: object, bubbles: true, cancelable: true }));
      } else if (verb === "choose") {
        picture.items.get(object).firstChild.click();
      } else {
        const [id, times] = part.split("*");
        if (element(id) === null) throw new Error(`the walk found no ${id}`);
        for (let i = 0; i < Math.min(Number(times ?? 1), 1000); i++) element(id).click();
      }
      shown.push(this.read());
    }
    player.remember(true);
    document.body.append(make("pre", JSON.stringify({ address: location.hash.slice(1), shown }), { id: "dump" }));
  },

  // Reads what the page shows.
  read() {
    const texts = (selector) => Array.from(document.querySelectorAll(selector), (item) => item.textContent);
    const dot = (dot) => ({
      id: dot.dataset.id,
      place: dot.closest("[data-place]").dataset.place,
      label: dot.getAttribute("aria-label"),
      age: Number(/age-(\d)/.exec(dot.className)[1]),
      ran: dot.classList.contains("ran"),
    });
    const arrow = (arrow) => [arrow.dataset.from, arrow.dataset.to];
    return {
      link: player.link(player.step),
      message: element("message").textContent,
      step: Number(element("slider").value),
      number: element("number").textContent,
      time: element("time").textContent,
      caption: element("caption").textContent,
      tasks: Array.from(document.querySelectorAll(".dot"), dot),
      arrows: Array.from(document.querySelectorAll("#arrows path.wait"), arrow),
      chosen: document.querySelector(".dot.chosen")?.dataset.id ?? null,
      focused: document.activeElement?.dataset.id ?? null,
      who: element("who").textContent,
      marked: texts("#code .here code"),
      clients: Array.from(element("clients").tBodies[0].rows, (row) => Array.from(row.cells, (cell) => cell.textContent)),
      pressed: Array.from(document.querySelectorAll("#clients [aria-pressed=true]"), (button) => button.id),
      jobs: texts("#jobs li"),
      output: texts("#output li"),
      actions: texts("#actions li"),
      unnamed: Array.from(document.querySelectorAll("button, input, select"), (control) => control).filter((control) => !named(control)).length,
      too_wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    };
  },
};

// Returns true if a control has a name for a screen reader.
function named(control) {
  return Boolean(control.getAttribute("aria-label") || control.labels?.length || control.textContent.trim());
}
