"""Where untrusted files are decoded: a child process that may be killed.

    parent.py     starts the child, asks it for pages, kills it when it is late, and says how it died
    answers.py    judges what the child says: nothing of it is believed
    keeper.py     the thread that a child belongs to
    __main__.py   the child's loop: one document open at a time, one page at a time
    confine.py    what the child gives up before it sees a byte, by way of
        limits.py  landlock.py  seccomp.py      memory and time; files, ports, signals; system calls
        kernel.py                               the calls that Python has no function for
    drawers.py    the registry of the ways to draw a page: pdfium.py, poppler.py, images.py
    codes.py      the search for QR codes on its pixels

The child answers in one line of JSON; pixels go through memory that both processes map, so a page costs one
copy. This package is imported by the child: it must stay quick to import (no numpy, no boto3, no torch).
"""
