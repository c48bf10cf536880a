// The beginning: builds what does not change, and opens the stream. The address may name a loop: "#loop=PID.LOOP".
function start() {
  picture.build();
  picture.connect();
  charts.build();
  table.build();
  element("loops").addEventListener("change", (event) => live.choose(event.target.value));
  element("pause").addEventListener("click", () => live.set_paused(!live.is_paused));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tooltip.show(null);
  });
  addEventListener("resize", () => live.draw());
  const named = () => new URLSearchParams(location.hash.slice(1)).get("loop");
  addEventListener("hashchange", () => {
    if (named() !== null && named() !== live.key) live.choose(named());
  });
  live.key = named();
  live.open();
}

addEventListener("error", (event) => live.message(`The page has failed, please load it again: ${event.message}`));
start();
