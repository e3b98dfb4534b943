"use strict";
// Draws the figures that harness/pages/figure.py describes, and keeps them in step with theme and window.
(() => {
  const NARROW = 640;
  const LANE = 24, VALUE = 132, GAP = 34, BOTTOM = 34;
  const MOST_MARGIN = 190, NARROW_MARGIN = 84;
  const DECADES_MS = [0.001, 0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6];
  const DECADES = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1000 s"];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  // Names of clients differ at their ends, so the middle is what goes.
  const shorten = (text, most) => {
    if (text.length <= most) return text;
    const tail = Math.ceil((most - 1) / 2);
    return text.slice(0, most - 1 - tail) + "…" + text.slice(text.length - tail);
  };

  const heightOf = (track) => {
    if (track.kind === "value") return VALUE;
    return track.labels.length * Math.max(11, Math.min(LANE, 900 / track.labels.length)) + 6;
  };

  const layOut = (figure, width) => {
    const narrow = width < NARROW;
    const names = figure.tracks.flatMap((one) => one.labels || []);
    const longest = Math.max(4, ...names.map((one) => one.length));
    const left = narrow ? NARROW_MARGIN : Math.min(MOST_MARGIN, 14 + 6.6 * longest);
    const most = Math.floor((left - 12) / (narrow ? 6 : 6.3));
    const heights = figure.tracks.map(heightOf);
    const plot = heights.reduce((sum, one) => sum + one + GAP, 0);
    const ink = css("--ink"), muted = css("--muted"), grid = css("--grid");
    const layout = {
      height: plot + BOTTOM, width,
      margin: { l: left, r: 10, t: 0, b: BOTTOM, pad: 2 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 10 : 11, color: ink },
      showlegend: false, barmode: "overlay", bargap: 0, dragmode: "zoom", hovermode: "closest",
      hoverlabel: { bgcolor: css("--card"), bordercolor: muted, font: { color: ink, size: 12 }, align: "left", namelength: 0 },
      uniformtext: { minsize: 9, mode: "hide" },
      xaxis: {
        range: [...(figure.shown || figure.view)], // a copy: plotly writes into it
        ticksuffix: " s", gridcolor: grid, zeroline: false, nticks: narrow ? 5 : 12,
        anchor: figure.tracks.length === 1 ? "y" : "y" + figure.tracks.length, tickcolor: muted,
        showspikes: true, spikemode: "across", spikesnap: "cursor", spikethickness: 1, spikedash: "dot", spikecolor: muted,
      },
      annotations: [], shapes: [],
    };
    let from = plot;
    figure.tracks.forEach((track, number) => {
      const top = from - GAP, bottom = top - heights[number];
      from = bottom;
      const axis = {
        domain: [Math.max(0, bottom / plot), Math.min(1, top / plot)], fixedrange: true, zeroline: false,
        gridcolor: grid, anchor: "x", automargin: false, tickcolor: muted,
      };
      if (track.kind === "lanes") {
        Object.assign(axis, {
          range: [track.labels.length - 0.5, -0.5], showgrid: false, tickmode: "array",
          tickvals: track.labels.map((_, place) => place),
          ticktext: track.labels.map((one) => escape(shorten(one, most))),
        });
      } else {
        Object.assign(axis, { nticks: 5 });
        if (track.log) Object.assign(axis, { type: "log", tickmode: "array", tickvals: DECADES_MS, ticktext: DECADES });
        if (track.most !== undefined) axis.range = [0, track.most];
        else if (track.least !== undefined) axis.rangemode = "tozero";
      }
      layout[number === 0 ? "yaxis" : "yaxis" + (number + 1)] = axis;
      layout.annotations.push({
        text: "<b>" + escape(track.title) + "</b>", xref: "paper", yref: "paper", x: 0, xanchor: "left",
        y: top / plot, yanchor: "bottom", showarrow: false, font: { size: 12, color: ink }, xshift: narrow ? 2 - left : 0,
      });
    });
    for (const shade of figure.shades) {
      layout.shapes.push({
        type: "rect", layer: "below", xref: "x", yref: "paper", x0: shade.from, x1: shade.to, y0: 0, y1: 1,
        fillcolor: shade.colour, opacity: 0.13, line: { width: 0 },
      });
    }
    return layout;
  };

  // The palette's dark blue is hard to see as a thin line on a dark ground; phases are translucent.
  const inTheme = (trace) => {
    if (trace.name === "phase") return { ...trace, insidetextfont: { color: css("--ink") } };
    if (trace.type !== "scatter" || !trace.line || trace.line.color !== "#0072B2" || css("color-scheme") !== "dark") return trace;
    return { ...trace, line: { ...trace.line, color: "#56B4E9" } };
  };

  const figures = new Map();
  const widthOf = (plot) => Math.floor(plot.getBoundingClientRect().width);
  const config = { displaylogo: false, displayModeBar: false, doubleClick: false, scrollZoom: false };

  const draw = (plot) => {
    let figure = figures.get(plot);
    if (!figure) {
      figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
      figures.set(plot, figure);
    }
    return Plotly.react(plot, figure.data.map(inTheme), layOut(figure, widthOf(plot)), config).then(() => {
      if (plot.dataset.drawn) return;
      plot.dataset.drawn = "yes";
      plot.on("plotly_relayout", () => { figure.shown = [...plot.layout.xaxis.range]; });
      plot.on("plotly_doubleclick", () => zoom(plot, figure.view));
    });
  };
  const zoom = (plot, range) => {
    figures.get(plot).shown = [...range];
    return Plotly.relayout(plot, { "xaxis.range": [...range] });
  };

  const STEPS = {
    view: (now, figure) => figure.view,
    faults: (now, figure) => figure.faults,
    in: ([a, b]) => [a + (b - a) / 4, b - (b - a) / 4],
    out: ([a, b], { span }) => [Math.max(span[0], a - (b - a) / 2), Math.min(span[1], b + (b - a) / 2)],
    back: ([a, b]) => [a - (b - a) / 4, b - (b - a) / 4],
    on: ([a, b]) => [a + (b - a) / 4, b + (b - a) / 4],
  };

  const plotIn = (details) => details.querySelector(".plot");
  for (const details of document.querySelectorAll("details.timeline")) {
    const plot = plotIn(details);
    if (!plot) continue;
    details.addEventListener("toggle", () => { if (details.open && !plot.dataset.drawn) draw(plot); });
    for (const button of details.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => {
        zoom(plot, STEPS[button.dataset.zoom](plot.layout.xaxis.range, figures.get(plot)));
      });
    }
    if (details.open) draw(plot);
  }
  const again = () => { for (const plot of figures.keys()) if (widthOf(plot)) draw(plot); };
  document.addEventListener("theme", again);
  let waiting;
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(again, 120);
  });
})();
