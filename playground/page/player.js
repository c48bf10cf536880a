// The player: which step of which run is shown.
const WINDOW = { before: 60, after: 180 };

const player = {
  // The parts of the link, as the module returns them.
  run: null,
  step: 0,
  end: 0,
  max_steps: 0,
  frames: [],
  from: 0,
  // 1 while the run plays forwards, -1 backwards, 0 otherwise.
  direction: 0,
  scenarios: new Map(),
  // The timers of the address and of the run.
  timer: 0,
  ticking: 0,

  // Opens the run of a link. If the link is not valid, says why, and stays with the run that is open or with the first one.
  open(link) {
    this.stop();
    let answer = core.call("parse", link);
    panels.message(answer.error ?? "");
    if (answer.link === undefined) answer = core.call("parse", this.run === null ? "" : this.link(this.step));
    this.take(answer.link);
    const wanted = this.run.step;
    this.show(Math.min(wanted, this.end));
    if (wanted > this.end) panels.message(`The run ends with step ${this.end}, before step ${wanted}.`);
  },

  // Takes over a run, and finds out where it ends.
  take(run) {
    const is_other = this.run?.scenario !== run.scenario;
    this.run = run;
    this.frames = [];
    if (is_other) {
      picture.followed = picture.chosen = picture.focused = null;
      panels.open(this.scenarios.get(run.scenario));
    }
    element("scenario").value = run.scenario;
    element("seed").value = run.seed;
    this.end = core.call("play", this.link(0), this.max_steps, this.max_steps).played.end ?? this.max_steps;
    element("slider").max = this.end;
    panels.actions(run.actions);
  },

  link(step) {
    return this.run.link.replace(/step=\d+/, `step=${step}`);
  },

  frame(step) {
    const at = step - this.from;
    if (this.frames[at] === undefined) {
      const [before, after] = this.direction < 0 ? [WINDOW.after, WINDOW.before] : [WINDOW.before, WINDOW.after];
      const from = Math.max(0, step - before);
      const { played } = core.call("play", this.link(0), from, step + after);
      [this.from, this.frames] = [played.from, played.frames];
    }
    return this.frames[step - this.from];
  },

  show(step, moves = true) {
    this.step = Math.max(0, Math.min(step, this.end));
    const frame = this.frame(this.step);
    picture.draw(frame, moves);
    panels.draw(frame, picture.chosen);
    element("slider").value = this.step;
    element("slider").setAttribute("aria-valuetext", `step ${this.step} of ${this.end}, ${frame.time}`);
    element("number").textContent = `step ${this.step} of ${this.end}`;
    element("time").textContent = frame.time;
    element("caption").textContent = frame.caption;
    for (const id of ["first", "rewind", "back"]) element(id).disabled = this.step === 0;
    for (const id of ["step", "run", "last"]) element(id).disabled = this.step === this.end;
    if (this.direction === 0) this.remember();
  },

  // Writes the run and its step into the page's address. Browsers ignore pages that do this all the time, so it is done
  // soon, unless it is to be done now.
  remember(now = false) {
    clearTimeout(this.timer);
    const write = () => {
      const link = `#${this.link(this.step)}`;
      if (location.hash !== link) history.replaceState(null, "", link);
    };
    if (now) write();
    else this.timer = setTimeout(write, 300);
  },

  // Carries out an action at the step that is shown. The next step is that action.
  act(deed) {
    this.stop();
    const answer = core.call("act", `${this.link(this.step)}\n${deed}`);
    panels.message(answer.error ?? "");
    if (answer.link === undefined) return;
    this.take(answer.link);
    this.show(this.step + 1);
  },

  play(direction) {
    const is_same = this.direction === direction;
    this.stop();
    if (is_same) return;
    this.direction = direction;
    element(direction > 0 ? "run" : "rewind").setAttribute("aria-pressed", "true");
    // A screen reader can't follow a run.
    element("caption").setAttribute("aria-live", "off");
    let last = performance.now();
    let due = 1;
    const tick = (now = performance.now()) => {
      const speed = Number(element("speed").value);
      due += (Math.min(now - last, 250) * speed) / 1000;
      last = now;
      const steps = Math.floor(due);
      due -= steps;
      if (steps > 0) this.show(this.step + direction * steps, speed <= 5);
      if (this.step === (direction > 0 ? this.end : 0)) this.stop();
      else this.ticking = setTimeout(() => tick(), 16);
    };
    // The first step comes at once, however fast the page is.
    tick(last);
  },

  stop() {
    if (this.direction === 0) return;
    clearTimeout(this.ticking);
    this.direction = 0;
    for (const id of ["run", "rewind"]) element(id).setAttribute("aria-pressed", "false");
    element("caption").setAttribute("aria-live", "polite");
    this.remember();
  },
};
