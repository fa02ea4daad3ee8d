"""Broken copies of the package, one for each promise of docs/security.rst: the tests that the page names must fail."""
