// One book: a reader chooses the edition once. Chapters, links, search and "next" then stay within it.
// Without this script the sidebar lists every edition.
addEventListener("DOMContentLoaded", () => {
  const CHAPTER = /\/editions\/([^/]+)\/([^/]+)\.html/, KEY = "edition";
  const place = address => (CHAPTER.exec(address) ?? []).slice(1);
  const sidebar = document.querySelector(".bd-sidebar-primary nav.bd-links");
  const parts = [...sidebar?.querySelectorAll("p.caption") ?? []].map(caption => {
    const list = caption.nextElementSibling;
    return { caption, list, links: [...list.querySelectorAll("a")], edition: place(list.querySelector("a").href)[0] };
  });
  for (const part of parts)  // the open page's own link is "#"
    part.edition ??= part.links.some(a => a.getAttribute("href") === "#") ? place(location.pathname)[0] : undefined;
  const editions = new Map();  // name: its chapters' links, by chapter
  for (const part of parts.filter(p => p.edition)) {
    const title = part.caption.textContent.trim();
    if (!editions.has(part.edition)) editions.set(part.edition, { title, chapters: new Map() });
    for (const link of part.links) editions.get(part.edition).chapters.set(place(link.href)[1], link.href.split("#")[0]);
  }
  if (editions.size < 2) return;

  let remembered = null;
  try { remembered = localStorage.getItem(KEY); } catch { /* a browser may forbid it */ }
  const [here, chapter] = place(location.pathname);
  const explorer = document.querySelector("#explorer-edition"), linked = new URLSearchParams(location.hash.slice(1)).get(KEY);
  const chosen = [here, explorer && linked, remembered, editions.keys().next().value].find(name => editions.has(name));
  const remember = name => { try { localStorage.setItem(KEY, name); } catch { /* as above */ } };
  remember(chosen);
  const show = name => {  // the open page in another edition
    remember(name);
    const { chapters } = editions.get(name);
    if (here) return void (location.href = chapters.get(chapter) ?? chapters.values().next().value);
    if (explorer) location.hash = `${KEY}=${name}`;
    location.reload();
  };
  explorer?.addEventListener("change", () => show(explorer.value));
  const hidden = address => { const [edition] = place(address); return editions.has(edition) && edition !== chosen; };
  const ending = name => `-${name.replace(/[^a-z0-9]+/gi, "-")}`;  // of a label's id
  const same = address => {  // the chosen edition's address of what an address of another one shows
    const [edition, chapter] = place(address), found = editions.get(chosen).chapters.get(chapter), { hash } = new URL(address);
    return found && found + (hash.endsWith(ending(edition)) ? hash.slice(0, -ending(edition).length) + ending(chosen) : hash);
  };

  for (const part of parts) part.caption.hidden = part.list.hidden = Boolean(part.edition) && part.edition !== chosen;
  const choice = () => {
    const label = document.createElement("label"), select = document.createElement("select");
    label.className = "edition-switch";
    label.append("Edition", select);
    for (const [name, { title }] of editions) select.add(new Option(title, name, name === chosen, name === chosen));
    select.addEventListener("change", () => show(select.value));
    return label;
  };
  parts.find(p => p.edition === chosen).caption.before(choice());
  const named = document.querySelector("main h1 + p");  // "Edition: ...": on a phone the sidebar is folded away
  if (here && named?.textContent.startsWith("Edition:")) named.replaceWith(choice());

  const front = document.querySelector("#confidence-driven-cascades-of-language-models");  // its doors name editions
  if (!here && !front)  // prose goes to the chosen edition where that has the chapter
    for (const link of document.querySelectorAll("main a"))
      if (hidden(link.href)) link.href = same(link.href) ?? link.href;
  // "next" and "previous" go along the chapters that are listed
  const listed = parts.filter(p => !p.list.hidden).flatMap(p => p.links);
  const at = listed.findIndex(a => a.getAttribute("href") === "#" || a.href === location.href.split("#")[0]);
  for (const link of document.querySelectorAll(".prev-next-footer a")) {
    if (!hidden(link.href)) continue;
    const neighbour = listed[at + (link.classList.contains("left-prev") ? -1 : 1)];  // the front page comes before all
    link.hidden = !neighbour;
    if (!neighbour) continue;
    link.href = neighbour.href;
    link.title = "";
    (link.querySelector(".prev-next-title") ?? link).textContent = neighbour.textContent.trim();
  }
  const found = document.querySelector("#search-results");
  if (found) new MutationObserver(() => {  // what is listed: once, and in the chosen edition
    const pages = new Set();
    for (const link of found.querySelectorAll("ul.search > li > a")) {
      const page = link.textContent + link.href.split("#")[0];
      link.parentElement.hidden = pages.has(page) || (hidden(link.href) && Boolean(same(link.href)));
      pages.add(page);
    }
    const summary = found.querySelector(".search-summary"), shown = found.querySelectorAll("ul.search > li:not([hidden])").length;
    const counted = summary?.textContent.replace(/\d+/, shown);
    if (summary && summary.textContent !== counted) summary.textContent = counted;
  }).observe(found, { childList: true, subtree: true });
});
