// Each cell knows its column's name, so that site.css can show a table's rows as cards on a narrow screen.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table.docutils")) {
    const names = [...table.querySelectorAll("thead th")].map(cell => cell.textContent.trim());
    if (names.length < 2) continue;
    table.classList.add("cards");
    if (names.length > 4) table.classList.add("many-columns");
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, column) => {
        cell.dataset.label = names[column] || "";
        if (!cell.textContent.trim()) cell.textContent = "";
      });
    }
  }
});
