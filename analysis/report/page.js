"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";

  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  };

  // -- light and dark ------------------------------------------------------------------------

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // -- tables --------------------------------------------------------------------------------

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };

  // Numbers before words, and what is not known last, whichever way the others go.
  const compare = (a, b, sign) => {
    const rank = (value) => (value === "" || value === "-" ? 2 : typeof value === "string" ? 1 : 0);
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    return sign * (a < b ? -1 : a > b ? 1 : 0);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.tabIndex = 0;
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row, index) => [valueOf(row, column), index, row]);
        rows.sort((a, b) => compare(a[0], b[0], down ? -1 : 1) || a[1] - b[1]);
        body.append(...rows.map((entry) => entry[2]));
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter") sort();
      });
    });
  }

  // -- an axis that zooms --------------------------------------------------------------------

  const ticks = (low, high, count) => {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(n * step);
    return found;
  };

  const plain = (value) => Number(value.toPrecision(6)).toLocaleString("en");

  // A chart that is drawn anew whenever its span of x changes: wheel, drag, buttons.
  const zoomable = (box, height, whole, left, draw) => {
    const svg = make("svg", { role: "img" }, box);
    const view = { low: whole[0], high: whole[1] };
    const hint = box.querySelector(".span");
    const render = () => {
      const width = Math.max(320, svg.clientWidth || box.clientWidth || 900);
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.dataset.low = view.low;
      svg.dataset.high = view.high;
      const area = { left, right: width - 12, top: 8, bottom: height - 34 };
      const scale = (x) =>
        area.left + ((x - view.low) / (view.high - view.low || 1)) * (area.right - area.left);
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
      if (hint) hint.textContent = `${plain(view.low)} s to ${plain(view.high)} s`;
    };
    const zoom = (factor, centre) => {
      const span = Math.min((view.high - view.low) * factor, whole[1] - whole[0]);
      if (span < (whole[1] - whole[0]) * 1e-6) return;
      const share = (centre - view.low) / (view.high - view.low || 1);
      move(centre - share * span, span);
    };
    const move = (low, span) => {
      view.low = Math.max(whole[0], Math.min(low, whole[1] - span));
      view.high = view.low + span;
      render();
    };
    const place = (event) => {
      const bounds = svg.getBoundingClientRect();
      const share = (event.clientX - bounds.left - left) / (bounds.width - left - 12);
      return view.low + Math.max(0, Math.min(1, share)) * (view.high - view.low);
    };
    svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, place(event));
    }, { passive: false });
    let grip = null;
    svg.addEventListener("pointerdown", (event) => {
      grip = { x: event.clientX, low: view.low };
      if (event.isTrusted) svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const wide = svg.getBoundingClientRect().width - left - 12;
      const span = view.high - view.low;
      move(grip.low - ((event.clientX - grip.x) / wide) * span, span);
    });
    svg.addEventListener("pointerup", () => { grip = null; });
    svg.addEventListener("pointercancel", () => { grip = null; });
    const middle = () => (view.low + view.high) / 2;
    const actions = {
      in: () => zoom(0.5, middle()),
      out: () => zoom(2, middle()),
      all: () => move(whole[0], whole[1] - whole[0]),
    };
    for (const button of box.querySelectorAll("button[data-zoom]")) {
      button.addEventListener("click", actions[button.dataset.zoom]);
    }
    addEventListener("resize", render);
    render();
  };

  // -- accuracy ------------------------------------------------------------------------------

  const accuracy = document.getElementById("accuracy");
  if (accuracy && data.accuracy) {
    const { lines, targets, end } = data.accuracy;
    zoomable(accuracy, 320, [0, end], 48, (svg, inside, area, scale) => {
      const level = (y) => area.bottom - (y / 100) * (area.bottom - area.top);
      for (let y = 0; y <= 100; y += 20) {
        make("line", {
          class: "grid", x1: area.left, x2: area.right, y1: level(y), y2: level(y),
        }, svg);
        make("text", {
          x: area.left - 6, y: level(y) + 4, "text-anchor": "end",
        }, svg, y === 100 ? "100 %" : y);
      }
      for (const target of targets) {
        make("line", {
          x1: area.left, x2: area.right, y1: level(target), y2: level(target),
          style: "stroke: var(--faint)", "stroke-dasharray": "5 4",
        }, svg);
      }
      for (const line of lines) {
        const points = line.x.map((x, i) => `${scale(x).toFixed(2)},${level(line.y[i]).toFixed(2)}`);
        make("polyline", {
          points: points.join(" "), fill: "none", stroke: line.color, "stroke-width": 1.8,
          "stroke-dasharray": line.dash,
        }, inside);
        line.x.forEach((x, i) => {
          const dot = make("circle", {
            cx: scale(x).toFixed(2), cy: level(line.y[i]).toFixed(2), r: 2.6, fill: line.color,
          }, inside);
          make("title", {}, dot, `${line.label}: ${line.y[i].toFixed(2)} % at ${plain(x)} s`);
        });
      }
      svg.append(inside);
    });
  }

  // -- timeline ------------------------------------------------------------------------------

  const timeline = document.getElementById("timeline");
  if (timeline && data.timeline) {
    const { clients, legs, versions, lost, end } = data.timeline;
    const pitch = 14;
    const rows = clients.length + 1;
    zoomable(timeline, rows * pitch + 46, [0, end], 64, (svg, inside, area, scale, view) => {
      const top = (row) => area.top + row * pitch;
      const name = (row, text) =>
        make("text", {
          x: area.left - 6, y: top(row) + pitch - 4, "text-anchor": "end",
        }, svg, text);
      name(0, "server");
      clients.forEach((client, index) => {
        const row = index + 1;
        name(row, client);
        make("rect", {
          x: scale(0), y: top(row) + 2, width: Math.max(0, scale(end) - scale(0)),
          height: pitch - 4, style: "fill: var(--idle)",
        }, inside);
        for (const leg of ["download", "compute", "upload", "queueing"]) {
          const [y, high] = leg === "queueing" ? [pitch - 6, 4] : [2, pitch - 4];
          const spans = legs[leg][index];
          let path = "";
          for (let i = 0; i < spans.length; i += 2) {
            if (spans[i + 1] < view.low || spans[i] > view.high) continue;
            const from = scale(spans[i]);
            const wide = Math.max(0.4, scale(spans[i + 1]) - from);
            path += `M${from.toFixed(2)},${top(row) + y}h${wide.toFixed(2)}v${high}h${(-wide).toFixed(2)}z`;
          }
          if (path) make("path", { d: path, class: leg, style: `fill: var(--${leg})` }, inside);
        }
        for (const x of lost[index]) {
          if (x < view.low || x > view.high) continue;
          const at = scale(x);
          const y = top(row) + pitch / 2;
          make("path", {
            d: `M${at - 3},${y - 3}l6,6m0,-6l-6,6`, style: "stroke: var(--lost)", "stroke-width": 1.6,
          }, inside);
        }
      });
      let ticksPath = "";
      let free = -Infinity;
      versions.forEach(([x, version]) => {
        if (x < view.low || x > view.high) return;
        const at = scale(x);
        ticksPath += `M${at.toFixed(2)},${top(0) + 2}v${pitch - 4}`;
        if (at >= free && at + 24 < area.right) {
          make("text", { x: at + 2, y: top(0) + pitch - 3, class: "version" }, inside, version);
          free = at + 10 + 7 * String(version).length;
        }
      });
      if (ticksPath) {
        make("path", { d: ticksPath, style: "stroke: var(--ink)", fill: "none" }, inside);
      }
    });
  }
})();
