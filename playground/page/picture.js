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
    for (const [id, old] of before) this.move(this.items.get(id), old);
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

  // Lets an item glide from its old position.
  move(item, old) {
    if (item === undefined || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const now = item.getBoundingClientRect();
    const [x, y] = [old.left - now.left, old.top - now.top];
    if (x === 0 && y === 0) return;
    item.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 250, easing: "ease-in-out" });
  },

  // Draws an arrow from each task to the one that it waits for.
  connect(frame) {
    const svg = element("arrows");
    for (const arrow of svg.querySelectorAll("path.wait")) arrow.remove();
    for (const task of frame.tasks) {
      const [from, to] = [this.items.get(task.id), this.items.get(task.waits_for)];
      if (from === undefined || to === undefined) continue;
      const arrow = document.createElementNS("http://www.w3.org/2000/svg", "path");
      arrow.setAttribute("class", "wait");
      arrow.dataset.from = task.id;
      arrow.dataset.to = task.waits_for;
      arrow.setAttribute("d", this.path(place(from), place(to)));
      svg.append(arrow);
    }
  },

  // Returns a curve between the borders of two dots. Two opposite ones are on opposite sides.
  path(from, to) {
    const angle = Math.atan2(to.y - from.y, to.x - from.x);
    const length = Math.hypot(to.x - from.x, to.y - from.y);
    const aside = length < 100 ? 0.9 : 0.6;
    const on = (dot, angle, far) => `${dot.x + Math.cos(angle) * far} ${dot.y + Math.sin(angle) * far}`;
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
    const bent = on(middle, angle - Math.PI / 2, 12 + Math.min(length / 6, 30));
    return `M${on(from, angle - aside, from.r)}Q${bent} ${on(to, angle + Math.PI + aside, to.r)}`;
  },
};

// Returns the middle and the radius of an item's dot. An animation does not count.
function place(item) {
  const dot = item.firstChild;
  const picture = element("picture");
  let [x, y] = [dot.offsetWidth / 2, dot.offsetHeight / 2];
  for (let at = dot; at !== null && at !== picture; at = at.offsetParent) {
    x += at.offsetLeft;
    y += at.offsetTop;
  }
  return { x, y, r: dot.offsetWidth / 2 + 3 };
}
