// The picture: each task is a dot in the run queue or in a bin.
const picture = {
  // The items of the tasks, by the tasks' ids.
  items: new Map(),
  // The task that the visitor follows, or null to follow the one that runs.
  followed: null,
  // The task whose code is shown.
  chosen: null,
  focused: null,

  draw(frame, moves) {
    const before = new Map();
    if (moves) for (const [id, item] of this.items) before.set(id, item.getBoundingClientRect());
    this.choose(frame);
    this.fill(frame);
    // What happens while a task runs does not interrupt it.
    const now = frame.tasks.some((task) => task.place === "running") ? "run" : frame.kind;
    for (const phase of document.querySelectorAll("[data-phase]")) {
      phase.classList.toggle("now", phase.dataset.phase === now);
    }
    for (const [id, old] of before) glide(this.items.get(id), old);
    this.connect(frame);
    this.describe(frame.tasks.find((task) => task.id === this.focused));
  },

  choose(frame) {
    const exists = (id) => frame.tasks.some((task) => task.id === id);
    if (!exists(this.followed)) this.followed = null;
    // The first in the run queue, or the one that began to wait last.
    const next = frame.tasks.find((task) => ["queue", "running"].includes(task.place)) ?? frame.tasks.at(-1);
    const last = exists(this.chosen) ? this.chosen : (next?.id ?? null);
    this.chosen = this.followed ?? (exists(frame.ran) ? frame.ran : last);
  },

  fill(frame) {
    element("picture").classList.toggle("crowd", frame.tasks.length > 16);
    const lists = new Map();
    for (const bin of document.querySelectorAll("[data-place]")) lists.set(bin.dataset.place, bin.querySelector("ol"));
    const next = new Map();
    const index = new Map();
    for (const task of frame.tasks) {
      const item = this.items.get(task.id) ?? this.item(task.id);
      this.paint(item, task, frame.ran);
      next.set(task.id, item);
      const list = lists.get(task.place);
      const at = index.get(task.place) ?? 0;
      // An item that stays where it is keeps the focus.
      if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
      index.set(task.place, at + 1);
    }
    for (const [id, item] of this.items) if (!next.has(id)) item.remove();
    this.items = next;
    for (const [id, item] of this.items) item.firstChild.tabIndex = id === this.chosen ? 0 : -1;
    if (this.focused !== null) this.items.get(this.focused)?.firstChild.focus({ preventScroll: true });
  },

  item(id) {
    const item = make("li");
    const dot = make("button", id, { type: "button", class: "dot", "data-id": id });
    item.append(dot, make("span", "", { class: "tag", "aria-hidden": "true" }));
    return item;
  },

  paint(item, task, ran) {
    const [dot, tag] = item.children;
    dot.className = `dot age-${task.age}`;
    dot.classList.toggle("ran", task.id === ran);
    dot.classList.toggle("chosen", task.id === this.chosen);
    dot.setAttribute("aria-pressed", String(task.id === this.followed));
    dot.setAttribute("aria-label", this.words(task));
    tag.textContent = task.name.includes(", ") ? task.name.split(", ")[1] : task.name;
  },

  words(task) {
    const steps = task.steps === 1 ? "1 step" : `${task.steps} steps`;
    return `task ${task.id}, ${task.name}: ${task.state}, for ${task.waited}, after ${steps}`;
  },

  describe(task) {
    if (task !== undefined) element("who").textContent = this.words(task);
  },

  // Draws an arrow from each task to the one that it waits for.
  connect(frame) {
    arrows.draw(this.items, frame.tasks.map((task) => [task.id, task.waits_for]));
  },
};
