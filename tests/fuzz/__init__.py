"""A fuzzer over every way in: valid files made here, damaged in every way, read by workers that may die of it.

    python -m tests.fuzz --cases 20000 --output benchmarks/results/fuzz.json

``seeds`` makes the files, ``mutate`` and ``structured`` damage them, ``readers`` is the table of what reads them (a new
reader is a row there), ``worker`` runs single cases, ``pool`` watches the workers: their death, time and memory.
"""
