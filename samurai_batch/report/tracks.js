// The table of all tracks: search, sorting, and one part of the rows at a time.
(() => {
  const PART = 100;
  const TEXTS = new Set([0, 1, 2, 7]);
  const PERCENT = 4;
  const DECIMALS = new Set([5, 6]);
  const LINK = 9;
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("tracks-data").textContent);
  const compareTexts = new Intl.Collator(undefined, { numeric: true }).compare;
  const cell = (row, column) => (column === 0 ? data.videos[row[0]] : row[column]);
  const haystacks = data.rows.map((row) => [0, 1, 2, 7].map((column) => cell(row, column)).join("\n").toLowerCase());
  let found = data.rows.map((_, number) => number);
  let sorted = { column: null, descending: false };
  let start = 0;

  const compare = (one, other) => {
    const [a, b] = [cell(data.rows[one], sorted.column), cell(data.rows[other], sorted.column)];
    if (a === null || b === null) return (a === null) - (b === null);  // missing values last, in both directions
    const order = TEXTS.has(sorted.column) ? compareTexts(a, b) : a - b;
    return sorted.descending ? -order : order;
  };

  const textOf = (row, column) => {
    const value = cell(row, column);
    if (value === null) return "–";
    if (DECIMALS.has(column)) return value.toFixed(3);
    return column === PERCENT ? `${(100 * value).toFixed(1)} %` : String(value);
  };

  const show = () => {
    const rows = found.slice(start, start + PART).map((number) => {
      const row = data.rows[number];
      const line = document.createElement("tr");
      for (let column = 0; column < LINK; column += 1) {
        const place = document.createElement("td");
        let target = place;
        if (column === 1 && row[LINK] !== null) {
          target = place.appendChild(document.createElement("a"));
          target.href = row[LINK];
        }
        target.textContent = textOf(row, column);
        line.append(place);
      }
      return line;
    });
    byId("tracks-rows").replaceChildren(...rows);
    const end = Math.min(start + PART, found.length);
    const all = found.length === data.rows.length ? "" : ` (of ${data.rows.length.toLocaleString("en")})`;
    byId("tracks-count").textContent = found.length === 0 ? `no track matches${all}`
      : `${(start + 1).toLocaleString("en")} to ${end.toLocaleString("en")} of ${found.length.toLocaleString("en")} tracks${all}`;
    byId("tracks-previous").disabled = start === 0;
    byId("tracks-next").disabled = end === found.length;
  };

  const search = () => {
    const words = byId("tracks-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    found = data.rows.map((_, number) => number).filter((number) => words.every((word) => haystacks[number].includes(word)));
    if (sorted.column !== null) found.sort(compare);
    start = 0;
    show();
  };

  byId("tracks-search").addEventListener("input", search);
  byId("tracks-previous").addEventListener("click", () => { start = Math.max(start - PART, 0); show(); });
  byId("tracks-next").addEventListener("click", () => { start += PART; show(); });
  document.querySelectorAll("#tracks th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const descends = sorted.column === column ? !sorted.descending : !TEXTS.has(column);
      sorted = { column, descending: descends };
      document.querySelectorAll("#tracks th").forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descends ? "descending" : "ascending");
      search();
    });
  });
  show();
  byId("tracks").classList.remove("unready");
})();
