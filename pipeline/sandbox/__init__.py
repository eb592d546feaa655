"""Where untrusted files are decoded: a child process that may be killed.

    parent.py     starts the child, asks it for pages, kills it when it is late, and says how it died
    __main__.py   the child's loop: one document open at a time, one page at a time
    confine.py    what the child gives up before it sees a byte: memory, files, network, programs
    pdfium.py  poppler.py  images.py        the three ways to draw a page

The child answers in one line of JSON; pixels go through memory that both processes map, so a page costs one
copy. This package is imported by the child: it must stay quick to import (no numpy, no boto3, no torch).
"""
