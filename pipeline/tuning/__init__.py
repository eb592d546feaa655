"""From documents whose values are known to a checkpoint that reads them: data sets, and what learning needs.

    export    a job's reviewed documents, or a folder with its truth, as a data set
    dataset   the field's format: InternVL's JSONL and meta JSON, and 5CD-AI's columns
    check     what is wrong with a set
    plan      which pages are learned when

No torch here: `pipeline.vintern.tuning` does the learning.
"""
