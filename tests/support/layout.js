// What of a page is cut or lies on something else, by what the browser drew. Loaded before the page, as it notes the
// texts that charts write into a canvas; `measureLayout()` gives a line for each fault.
(() => {
  const SLACK = 2; // pixels
  const written = new WeakMap(); // of each canvas: the texts on it now
  const proto = CanvasRenderingContext2D.prototype;
  const { fillText, clearRect } = proto;

  const sizeOf = (canvas) => `${canvas.width} ${canvas.height}`; // a canvas that gets another size is empty

  function boxOf(context, x, y, x2, y2) {
    const at = context.getTransform(), scale = window.devicePixelRatio || 1;
    const corners = [[x, y], [x2, y], [x, y2], [x2, y2]].map(([u, v]) => at.transformPoint(new DOMPoint(u, v)));
    const xs = corners.map((p) => p.x / scale), ys = corners.map((p) => p.y / scale);
    const slanted = Math.abs(at.a) > 0.01 && Math.abs(at.b) > 0.01;
    return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys), slanted };
  }

  proto.fillText = function (text, x, y, ...rest) {
    if (String(text).trim() && this.globalAlpha > 0) {
      const m = this.measureText(text);
      const box = boxOf(
        this, x - m.actualBoundingBoxLeft, y - m.actualBoundingBoxAscent,
        x + m.actualBoundingBoxRight, y + m.actualBoundingBoxDescent,
      );
      written.set(this.canvas, [...(written.get(this.canvas) ?? []), { ...box, text: String(text), size: sizeOf(this.canvas) }]);
    }
    return fillText.call(this, text, x, y, ...rest);
  };
  proto.clearRect = function (x, y, width, height) {
    const gone = boxOf(this, x, y, x + width, y + height);
    const stays = (t) => {
      const middle = [(t.left + t.right) / 2, (t.top + t.bottom) / 2];
      return middle[0] < gone.left || middle[0] > gone.right || middle[1] < gone.top || middle[1] > gone.bottom;
    };
    written.set(this.canvas, (written.get(this.canvas) ?? []).filter(stays));
    return clearRect.call(this, x, y, width, height);
  };

  function seen(element) {
    return element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  }

  function svgTexts(chart) {
    return [...chart.querySelectorAll("svg text")].filter((e) => e.textContent.trim() && seen(e)).map((e) => {
      const { left, right, top, bottom } = e.getBoundingClientRect(), at = e.getScreenCTM();
      return { left, right, top, bottom, text: e.textContent, slanted: Math.abs(at.a) > 0.01 && Math.abs(at.b) > 0.01 };
    });
  }

  function canvasTexts(chart) {
    return [...chart.querySelectorAll("canvas")].flatMap((canvas) => {
      const at = canvas.getBoundingClientRect();
      const now = (written.get(canvas) ?? []).filter((t) => t.size === sizeOf(canvas));
      return now.map((t) => ({
        ...t, left: t.left + at.left, right: t.right + at.left, top: t.top + at.top, bottom: t.bottom + at.top,
      }));
    });
  }

  function chartFaults(chart) {
    const frame = chart.getBoundingClientRect(), name = chart.getAttribute("aria-label") ?? "a chart";
    const texts = [...svgTexts(chart), ...canvasTexts(chart)], faults = [];
    if (!texts.length) faults.push(`${name}: nothing is written on it`);
    for (const t of texts) {
      const out = Math.max(frame.left - t.left, t.right - frame.right, frame.top - t.top, t.bottom - frame.bottom);
      if (out > SLACK) faults.push(`${name}: '${t.text}' is cut by ${out.toFixed(0)} px`);
      if (t.text.includes("…")) faults.push(`${name}: '${t.text}' is shortened`);
    }
    const straight = texts.filter((t) => !t.slanted);
    straight.forEach((a, i) => straight.slice(i + 1).forEach((b) => {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > SLACK && down > SLACK + 1) faults.push(`${name}: '${a.text}' lies on '${b.text}'`);
    }));
    const plots = chart.querySelectorAll("g.plot .heatmaplayer, g.mark-group.role-frame.root > g > path.background");
    for (const plot of plots) {
      const p = plot.getBoundingClientRect();
      for (const e of chart.querySelectorAll(".g-gtitle text, .role-title text, .role-legend text, .g-xtitle text")) {
        const t = e.getBoundingClientRect();
        const across = Math.min(t.right, p.right) - Math.max(t.left, p.left);
        const down = Math.min(t.bottom, p.bottom) - Math.max(t.top, p.top);
        if (across > SLACK && down > SLACK) faults.push(`${name}: '${e.textContent}' lies on the plot`);
      }
    }
    return faults;
  }

  function widthOf(text, element) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = getComputedStyle(element).font;
    return context.measureText(text).width;
  }

  function elementFaults(element) {
    const style = getComputedStyle(element), frame = element.getBoundingClientRect();
    if (frame.width < 2 || frame.height < 2 || !seen(element)) return [];
    if (element instanceof HTMLInputElement) {
      if (!["text", "number", "search"].includes(element.type)) return [];
      const room = element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const text = element.value || element.placeholder;
      return widthOf(text, element) > room + SLACK ? [`'${text}' is cut in its box`] : [];
    }
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own) return [];
    const text = element.textContent.trim().slice(0, 60);
    if (style.overflowX !== "visible" && element.scrollWidth > element.clientWidth + SLACK) return [`'${text}' is cut`];
    if (frame.right > window.innerWidth + SLACK) return [`'${text}' leaves the window`];
    return [];
  }

  function chartsSeen() {
    const charts = [...document.querySelectorAll("[data-testid=stVegaLiteChart], [data-testid=stPlotlyChart]")];
    return charts.filter((chart) => seen(chart) && chart.getBoundingClientRect().width > 2);
  }

  const STILL = 600; // milliseconds in which nothing changed
  let last = "", since = 0;

  // As measureLayout, once the script has run and every chart has been drawn and nothing moves; until then, null.
  window.measureWhenStill = () => {
    const app = document.querySelector("[data-testid=stApp]"), charts = chartsSeen();
    const places = charts.map((chart) => JSON.stringify(chart.querySelector("canvas, svg")?.getBoundingClientRect()));
    const now = [window.innerWidth, document.querySelectorAll("*").length, ...places].join();
    if (now !== last) [last, since] = [now, performance.now()];
    const waits = app.dataset.testScriptState !== "notRunning" || performance.now() - since < STILL;
    const drawn = charts.every((chart) => svgTexts(chart).length + canvasTexts(chart).length);
    return waits || !drawn ? null : window.measureLayout();
  };

  window.measureLayout = () => {
    const within = "[data-testid=stDataFrame], [data-testid=stVegaLiteChart], [data-testid=stPlotlyChart], pre, style";
    const others = [...document.querySelectorAll("[data-testid=stMain] *, [data-testid=stSidebar] *")].filter(
      (e) => !e.closest(within) && e.dataset.testid !== "stIconMaterial",
    );
    return [...chartsSeen().flatMap(chartFaults), ...others.flatMap(elementFaults)];
  };
})();
