"""poollib under a scheduler that chooses who runs, with a clock and a network that are its own.

``scheduler``, ``strategies``: one task at a time, and who is next; ``primitives``, ``seam``: its locks, threads and
clock in the place of the real ones; ``lending``, ``ledger``: programs of the pools, and what must hold of them;
``network``, ``exchanges``: whole exchanges; ``mutants``: planted faults; ``runs``: from a seed to a run.
docs/simulation.rst explains the method; ``python -m tests.simulation --help`` says how to run and replay it.
"""
