"""The review page: one person, one document, the doubtful values first, and the page beside them.

access.py    who may come in and what they may do; tokens, cookies, the host's name
app.py       the addresses and what each answers
sheet.py     a document as it is shown: its values, what speaks for and against each
words.py     codes and states in Vietnamese and English
pictures.py  pages as PNG, drawn ahead of the eye
serving.py   the server, on loopback unless told otherwise
templates/   what is sent; static/ the stylesheet and the script: no build step, nothing from elsewhere
"""
