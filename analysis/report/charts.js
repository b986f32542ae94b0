// -- the main metric and the timeline --------------------------------------------------------

const data = JSON.parse(document.getElementById("data").textContent);
const MOST_DOTS = 1500;

const drawMetric = (box, { lines, targets, end, title, unit, ticks }) => {
  const low = ticks[0];
  const high = ticks[ticks.length - 1];
  const level = (y, area) => area.bottom - ((y - low) / (high - low)) * (area.bottom - area.top);
  const each = (line, view, use) =>
    line.x.forEach((x, i) => {
      if (line.y[i] !== null && x >= view.low && x <= view.high) use(x, line.y[i], i);
    });

  const draw = (svg, inside, area, scale, view) => {
    for (const y of ticks) {
      const at = level(y, area);
      make("line", { class: "grid", x1: area.left, x2: area.right, y1: at, y2: at }, svg);
      make("text", { x: area.left - 6, y: at + 4, "text-anchor": "end" }, svg, y === high && unit ? `${y}${unit}` : plain(y));
    }
    for (const target of targets) {
      const at = level(target, area);
      make("line", {
        x1: area.left, x2: area.right, y1: at, y2: at,
        style: "stroke: var(--faint)", "stroke-dasharray": "5 4",
      }, svg);
    }
    let dots = 0;
    for (const line of lines) each(line, view, () => { dots += 1; });
    for (const line of lines) {
      const look = { stroke: line.color, opacity: line.faint ? 0.5 : 1 };
      let path = "";
      line.x.forEach((x, i) => {
        if (line.y[i] === null) return;
        const begins = i === 0 || line.y[i - 1] === null;
        path += `${begins ? "M" : "L"}${scale(x).toFixed(2)},${level(line.y[i], area).toFixed(2)}`;
      });
      make("path", {
        ...look, d: path, class: "curve", fill: "none", "stroke-width": 1.8,
        "stroke-dasharray": line.dash,
      }, inside);
      const alone = (i) =>
        (i === 0 || line.y[i - 1] === null) && (i + 1 === line.y.length || line.y[i + 1] === null);
      each(line, view, (x, y, i) => {
        if (dots > MOST_DOTS && !alone(i)) return;
        make("circle", {
          cx: scale(x).toFixed(2), cy: level(y, area).toFixed(2), r: 2.6,
          fill: line.color, opacity: look.opacity,
        }, inside);
      });
    }
    svg.append(inside);
  };

  const find = (x, y, area, scale, view) => {
    let nearest = 30;
    let found;
    for (const line of lines) {
      each(line, view, (at, value) => {
        const far = Math.hypot(scale(at) - x, level(value, area) - y);
        if (far >= nearest) return;
        nearest = far;
        found = [line.label, `${unit ? value.toFixed(2) : plain(value)}${unit} at ${plain(at)} s`];
      });
    }
    return found;
  };

  zoomable(box, `${title} over virtual time`, 320, end, 48, draw, find);
};

const drawTimeline = (box, { clients, legs, versions, lost, end }) => {
  const PITCH = 14;
  const LABELS = 14; // the strip of version numbers above the server's row
  const ORDER = ["download", "compute", "upload", "queueing"];
  const top = (row, area) => area.top + LABELS + row * PITCH;

  const draw = (svg, inside, area, scale, view) => {
    const name = (row, text) =>
      make("text", {
        x: area.left - 6, y: top(row, area) + PITCH - 4, "text-anchor": "end",
      }, svg, text);
    name(0, "server");
    clients.forEach((client, index) => {
      const row = index + 1;
      name(row, client);
      make("rect", {
        x: scale(0), y: top(row, area) + 2, width: Math.max(0, scale(end) - scale(0)),
        height: PITCH - 4, style: "fill: var(--idle)",
      }, inside);
      for (const leg of ORDER) {
        const [y, high] = leg === "queueing" ? [PITCH - 6, 4] : [2, PITCH - 4];
        const spans = legs[leg][index];
        let path = "";
        for (let i = 0; i < spans.length; i += 2) {
          if (spans[i + 1] < view.low || spans[i] > view.high) continue;
          const from = scale(spans[i]);
          const wide = Math.max(0.4, scale(spans[i + 1]) - from);
          path += `M${from.toFixed(2)},${top(row, area) + y}h${wide.toFixed(2)}v${high}h${(-wide).toFixed(2)}z`;
        }
        if (path) make("path", { d: path, class: leg, style: `fill: var(--${leg})` }, inside);
      }
      for (const x of lost[index]) {
        if (x < view.low || x > view.high) continue;
        const at = scale(x);
        const y = top(row, area) + PITCH / 2;
        make("path", {
          d: `M${at - 3},${y - 3}l6,6m0,-6l-6,6`, style: "stroke: var(--lost)", "stroke-width": 1.6,
        }, inside);
      }
    });
    let path = "";
    let free = -Infinity;
    versions.forEach(([x, version]) => {
      if (x < view.low || x > view.high) return;
      const at = scale(x);
      path += `M${at.toFixed(2)},${top(0, area) + 2}v${PITCH - 4}`;
      if (at < free) return;
      const label = make("text", { x: at, y: top(0, area) - 2, class: "version" }, inside, version);
      const right = at + label.getComputedTextLength();
      if (right > area.right) label.remove();
      else free = right + 8;
    });
    if (path) make("path", { d: path, style: "stroke: var(--ink)", fill: "none" }, inside);
  };

  const find = (x, y, area, scale, view) => {
    const row = Math.floor((y - area.top - LABELS) / PITCH);
    const close = (at) => at >= view.low && at <= view.high && Math.abs(scale(at) - x) < 5;
    if (row <= 0) {
      const near = versions.filter(([at]) => close(at));
      near.sort((a, b) => Math.abs(scale(a[0]) - x) - Math.abs(scale(b[0]) - x));
      return near.length ? [`version ${near[0][1]} at ${plain(near[0][0])} s`] : undefined;
    }
    const index = row - 1;
    if (index >= clients.length) return undefined;
    const found = [`client ${clients[index]}`];
    for (const leg of ORDER) {
      const spans = legs[leg][index];
      for (let i = 0; i < spans.length; i += 2) {
        if (scale(spans[i]) - 1 > x || scale(spans[i + 1]) + 1 < x) continue;
        const [from, to] = [spans[i], spans[i + 1]];
        found.push(`${leg}: ${plain(from)} s to ${plain(to)} s, ${plain(to - from)} s`);
      }
    }
    const gone = lost[index].find(close);
    if (gone !== undefined) found.push(`failed or cancelled at ${plain(gone)} s`);
    if (found.length === 1) found.push("no task");
    return found;
  };

  const height = (clients.length + 1) * PITCH + LABELS + 46;
  zoomable(box, "What the clients do over virtual time", height, end, 64, draw, find);
};

for (const [id, draw] of [["metric", drawMetric], ["timeline", drawTimeline]]) {
  const box = document.getElementById(id);
  if (box && data[id]) draw(box, data[id]);
}
