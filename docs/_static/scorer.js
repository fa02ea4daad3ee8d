// How the search orders pages (Sphinx's html_search_scorer): names, guides, recipes, and pages for contributors last.
const CONTRIBUTORS = new Set(["accepted", "changes", "contributing", "design", "release", "security", "simulation", "style", "testing"]);
const GUIDES = new Set(["bodies", "client", "errors", "pooling", "retries", "timeouts", "ways"]);

var Scorer = {
  score: ([page, title, anchor, description, score]) => {
    if (CONTRIBUTORS.has(page)) return score - 30;
    if (/\.[A-Z]\w+\.\w+$/.test(anchor)) return score - 30; // a method or attribute: after pages and classes
    return GUIDES.has(page) ? score + 6 : score;
  },
  objNameMatch: 40,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
