"""Would the tests notice? Small changes are made to one file, one at a time, and its room's tests are run.

    python -m infra.mutate pipeline/merge.py                      30 changes, chosen at random
    python -m infra.mutate schemas --count 100 --seed 7           in all files of a folder
    python -m infra.mutate pipeline/keys.py --all --tests tests/pipeline/test_keys.py

Every change is made in a copy of the checkout; the working tree is never touched. The tests run in a fork of
this process, which has loaded what they need from outside the checkout. A first run without a change learns
which quick tests touch which lines. Those of the changed statement are run first, the quickest before the
others. If none of them fails, the longer ones follow, and where few touch it all others, of the files of
tests that touch the changed file. So a change costs seconds.

One that the tests let pass is printed with its line, before and after: either a test is missing, or the
change alters nothing that matters (an equivalent mutant), or the line is not needed. Leaves with 1 when less
than --floor were noticed.
"""
