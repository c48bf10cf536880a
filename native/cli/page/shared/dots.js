// Dots that stand for tasks, in items of lists. The playground and the monitor share this file.

// Lets an item glide from its old position.
function glide(item, old) {
  if (item === undefined || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const now = item.getBoundingClientRect();
  const [x, y] = [old.left - now.left, old.top - now.top];
  if (x === 0 && y === 0) return;
  item.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 250, easing: "ease-in-out" });
}

// Moves the focus from a dot to the next one, if an arrow key was pressed.
function stepAmongDots(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (by === undefined || !event.target.matches(".dot")) return;
  event.preventDefault();
  const all = Array.from(document.querySelectorAll(".dot"));
  const at = all.indexOf(event.target);
  all[(at + by + all.length) % all.length].focus();
}

// The arrows between tasks, above the picture.
const arrows = {
  // Draws an arrow for each pair of ids that are both among the items.
  draw(items, pairs) {
    const svg = element("arrows");
    for (const arrow of svg.querySelectorAll("path.wait")) arrow.remove();
    for (const [id, other] of pairs) {
      const [from, to] = [items.get(id), items.get(other)];
      if (from === undefined || to === undefined) continue;
      const arrow = document.createElementNS("http://www.w3.org/2000/svg", "path");
      arrow.setAttribute("class", "wait");
      arrow.dataset.from = id;
      arrow.dataset.to = other;
      arrow.setAttribute("d", this.path(this.place(from), this.place(to)));
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

  // Returns the middle and the radius of an item's dot. An animation does not count.
  place(item) {
    const dot = item.firstChild;
    const picture = element("picture");
    let [x, y] = [dot.offsetWidth / 2, dot.offsetHeight / 2];
    for (let at = dot; at !== null && at !== picture; at = at.offsetParent) {
      x += at.offsetLeft;
      y += at.offsetTop;
    }
    return { x, y, r: dot.offsetWidth / 2 + 3 };
  },
};
