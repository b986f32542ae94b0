// -- an axis of virtual time that zooms ------------------------------------------------------
//
// The wheel and one finger up or down belong to the page. Ctrl and wheel (which is also what a
// trackpad's pinch sends), two fingers, the buttons and the keys zoom; dragging sideways moves.

const SVG = "http://www.w3.org/2000/svg";

const make = (name, attributes, parent, text) => {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.appendChild(node);
  return node;
};

const ticks = (low, high, count) => {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(n * step);
  return found;
};

const plain = (value) => Number(value.toPrecision(6)).toLocaleString("en");

// A chart that is drawn anew whenever its span of x changes.
//
// `draw(svg, inside, area, scale, view)` draws; `find(x, y, area, scale, view)` says in lines of
// text what is at a place in pixels, or gives nothing.
const zoomable = (box, title, height, end, left, draw, find) => {
  const RIGHT = 12;
  const svg = make("svg", { role: "img", tabindex: 0 }, box);
  svg.setAttribute("aria-label", `${title}; arrow keys move, plus and minus zoom, 0 shows all`);
  const tip = box.appendChild(element("div", { className: "tip", hidden: true }));
  const hint = box.querySelector(".hint");
  const said = box.querySelector(".span");
  const view = { low: 0, high: end };
  let area;
  let scale;
  let pending = 0;

  const render = () => {
    pending = 0;
    tip.hidden = true;
    const width = Math.max(280, svg.clientWidth || box.clientWidth || 900);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.dataset.low = view.low;
    svg.dataset.high = view.high;
    area = { left, right: width - RIGHT, top: 8, bottom: height - 34 };
    const unit = (area.right - area.left) / (view.high - view.low || 1);
    scale = (x) => area.left + (x - view.low) * unit;
    const clip = `clip-${box.id}`;
    const mask = make("clipPath", { id: clip }, make("defs", {}, svg));
    make("rect", {
      x: area.left, y: 0, width: area.right - area.left, height: area.bottom + 1,
    }, mask);
    for (const x of ticks(view.low, view.high, width / 110)) {
      const at = scale(x);
      make("line", { class: "grid", x1: at, x2: at, y1: area.top, y2: area.bottom }, svg);
      make("text", { x: at, y: area.bottom + 15, "text-anchor": "middle" }, svg, plain(x));
    }
    make("text", {
      x: (area.left + area.right) / 2, y: height - 4, "text-anchor": "middle",
    }, svg, "virtual time (s)");
    const inside = make("g", { "clip-path": `url(#${clip})` }, svg);
    draw(svg, inside, area, scale, view);
    make("path", {
      class: "axis", d: `M${area.left},${area.top}V${area.bottom}H${area.right}`,
    }, svg);
    said.textContent = `${plain(view.low)} s to ${plain(view.high)} s`;
    svg.classList.toggle("zoomed", view.high - view.low < end);
  };
  const soon = () => {
    pending = pending || requestAnimationFrame(render);
  };

  const move = (low, span) => {
    view.low = Math.max(0, Math.min(low, end - span));
    view.high = view.low + span;
    soon();
  };
  // Zoom so that what is at a share of the width stays there.
  const zoom = (factor, share) => {
    const old = view.high - view.low;
    const span = Math.max(end * 1e-6, Math.min(old * factor, end));
    move(view.low + share * (old - span), span);
  };
  const wide = () => svg.getBoundingClientRect().width - left - RIGHT;
  const share = (clientX) => {
    const from = svg.getBoundingClientRect().left + left;
    return Math.max(0, Math.min(1, (clientX - from) / wide()));
  };

  svg.addEventListener("wheel", (event) => {
    const pixels = event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 100 : 1;
    const span = view.high - view.low;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const notches = Math.max(-1, Math.min(1, (event.deltaY * pixels) / 100));
      zoom(1.25 ** notches, share(event.clientX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && span < end) {
      event.preventDefault();
      move(view.low + ((event.deltaX * pixels) / wide()) * span, span);
    } else {
      hint.classList.add("asked");
      setTimeout(() => hint.classList.remove("asked"), 1500);
    }
  }, { passive: false });

  // Where pointers are down, and the view when the last of them came or went.
  const down = new Map();
  let grip;
  const hold = () => {
    const places = [...down.values()];
    grip = { low: view.low, span: view.high - view.low, places };
  };
  const pull = () => {
    const now = [...down.values()];
    if (now.length === 1) {
      move(grip.low - ((now[0] - grip.places[0]) / wide()) * grip.span, grip.span);
    } else if (now.length === 2) {
      const apart = (places) => Math.max(20, Math.abs(places[1] - places[0]));
      const middle = (places) => share((places[0] + places[1]) / 2);
      const wanted = (grip.span * apart(grip.places)) / apart(now);
      const span = Math.max(end * 1e-6, Math.min(wanted, end));
      move(grip.low + middle(grip.places) * grip.span - middle(now) * span, span);
    }
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    down.set(event.pointerId, event.clientX);
    if (event.isTrusted) svg.setPointerCapture(event.pointerId);
    hold();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) {
      tell(event);
      return;
    }
    down.set(event.pointerId, event.clientX);
    pull();
  });
  const release = (event) => {
    const began = grip && grip.places.length === 1 ? grip.places[0] : NaN;
    const tapped = event.type === "pointerup" && Math.abs(event.clientX - began) < 4;
    down.delete(event.pointerId);
    hold();
    if (tapped) tell(event);
  };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  svg.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") tip.hidden = true;
  });

  addEventListener("pointerdown", (event) => {
    if (!svg.contains(event.target)) tip.hidden = true;
  });

  const tell = (event) => {
    const edges = svg.getBoundingClientRect();
    const pixels = (area.right + RIGHT) / edges.width;
    const x = (event.clientX - edges.left) * pixels;
    const y = (event.clientY - edges.top) * pixels;
    const outside = x < area.left || x > area.right || y > area.bottom;
    const lines = outside ? undefined : find(x, y, area, scale, view);
    tip.hidden = !lines;
    if (!lines) return;
    tip.replaceChildren(...lines.map((line) => element("div", { textContent: line })));
    const within = box.getBoundingClientRect();
    const room = within.width - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(4, Math.min(event.clientX - within.left + 12, room))}px`;
    tip.style.top = `${event.clientY - within.top - tip.offsetHeight - 10}px`;
  };

  const actions = {
    in: () => zoom(0.5, 0.5),
    out: () => zoom(2, 0.5),
    all: () => move(0, end),
  };
  for (const button of box.querySelectorAll("button[data-zoom]")) {
    button.addEventListener("click", actions[button.dataset.zoom]);
  }
  const step = (sign) => () => {
    const span = view.high - view.low;
    move(view.low + 0.1 * sign * span, span);
  };
  const keys = {
    "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.all,
    ArrowLeft: step(-1), ArrowRight: step(1),
  };
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("resize", soon);
  render();
};
