"use strict";
(() => {
  const bar = document.querySelector(".filters");
  if (!bar) return;
  const field = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll(".finding")];
  const apply = () => {
    const words = field("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const severity = field("severity").value;
    const validity = field("validity").value;
    const source = field("source").value;
    let shown = 0;
    for (const row of rows) {
      const data = row.dataset;
      const fits =
        (!severity || data.severity === severity) &&
        (!validity || data.validity === validity) &&
        (!source || data.source.includes(` ${source} `)) &&
        words.every((word) => data.text.includes(word));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    field("shown").textContent = `${shown} of ${rows.length}`;
    field("none").hidden = shown > 0;
  };
  bar.hidden = false;
  bar.addEventListener("input", apply);
  apply();
})();
