"""Pages as tasks of Label Studio, with what was read as pre-annotations; what comes back is read in
`pipeline/corrections/tasks.py`.

A region is one value: its label is the path of its leaf, its text what is printed, and its id the key of the
value (`store.doubts.key`), which Label Studio keeps.
"""
