// The beginning: loads the module, and connects the controls.
function fill(select, values, chosen) {
  for (const [value, name] of values) select.append(make("option", name, { value }));
  select.value = chosen;
}

function connect() {
  const go = (id, act) => element(id).addEventListener("click", act);
  const to = (step) => {
    player.stop();
    player.show(step);
  };
  go("first", () => to(0));
  go("back", () => to(player.step - 1));
  go("step", () => to(player.step + 1));
  go("last", () => to(player.end));
  go("run", () => player.play(1));
  go("rewind", () => player.play(-1));
  element("slider").addEventListener("input", (event) => to(Number(event.target.value)));

  const open = (scenario, seed) => player.open(`scenario=${scenario}&seed=${seed}`);
  element("scenario").addEventListener("change", (event) => open(event.target.value, player.run.seed));
  element("seed").addEventListener("change", (event) => open(player.run.scenario, event.target.value.trim()));
  go("next-seed", () => open(player.run.scenario, BigInt.asUintN(64, BigInt(player.run.seed) + 1n)));
  element("choice").addEventListener("submit", (event) => event.preventDefault());
  go("copy", async () => {
    player.remember(true);
    try {
      await navigator.clipboard.writeText(location.href);
      element("copy").textContent = "Copied";
    } catch {
      panels.message("The browser does not let this page copy. The link is in the address bar.");
    }
    setTimeout(() => (element("copy").textContent = "Copy link"), 2000);
  });

  go("add", () => player.act(`add:${element("n").value}`));
  go("cancel", () => player.act(`cancel:${picture.chosen}`));
  go("forget", () => player.open(`scenario=${player.run.scenario}&seed=${player.run.seed}&step=${player.step}`));
  element("clients").addEventListener("click", (event) => {
    const deed = event.target.dataset.deed;
    if (deed !== undefined) player.act(deed);
  });
  dots();
  addEventListener("resize", () => player.show(player.step, false));
  addEventListener("hashchange", () => {
    // Not the address that the page has written.
    if (location.hash.slice(1) !== player.link(player.step)) player.open(location.hash);
  });
}

// Connects the dots: pointing and focus describe a task, a click follows it, and arrow keys go to the next one.
function dots() {
  const frame = element("picture");
  const of = (event) => event.target.closest?.(".dot")?.dataset.id;
  const task = (id) => player.frame(player.step).tasks.find((task) => task.id === id);
  frame.addEventListener("mouseover", (event) => picture.describe(task(of(event))));
  frame.addEventListener("focusin", (event) => {
    picture.focused = of(event) ?? null;
    picture.describe(task(picture.focused));
  });
  document.addEventListener("focusin", (event) => {
    if (!frame.contains(event.target)) picture.focused = null;
  });
  frame.addEventListener("click", (event) => {
    const id = of(event);
    if (id === undefined) return;
    picture.followed = picture.followed === id ? null : id;
    player.stop();
    player.show(player.step, false);
  });
  frame.addEventListener("keydown", stepAmongDots);
}

async function start() {
  await core.load(element("wasm").textContent);
  const { description } = core.call("describe", "");
  player.max_steps = description.max_steps;
  for (const scenario of description.scenarios) player.scenarios.set(scenario.name, scenario);
  fill(element("scenario"), description.scenarios.map(({ name, title }) => [name, title]), "");
  fill(element("speed"), [1, 2, 5, 10, 30, 100, 1000].map((speed) => [speed, `${speed} steps/s`]), 5);
  fill(element("n"), [1, 10, 20, 30, 34, 36, description.max_n].map((n) => [n, n]), 10);
  connect();
  const [link, path] = walk.split(location.hash);
  player.open(link);
  if (path !== undefined) await walk.take(path);
}

addEventListener("error", (event) => panels.message(`The page has failed, please load it again: ${event.message}`));
start().catch((error) => panels.message(`This browser cannot run the page: ${error}`));
