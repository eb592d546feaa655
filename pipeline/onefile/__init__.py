"""A document that was read, as one file to look at: its pages, its values where they stand, and how sure.

document.py   what is shown: pages, values, regions
html.py       one HTML file (show.html, show.css, show.js): nothing in it is fetched
picture.py    one page as a PNG
"""
