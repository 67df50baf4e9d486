// A page opened from a disk may not read others, so search lists titles without excerpts there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
// Elsewhere excerpts are of a page's text, not of its code.
addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const text = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const code of page.querySelectorAll(".cell_input")) code.remove();
    return text(page.documentElement.outerHTML, anchor);
  };
});
