"""What a person looks at: a document's pages as they were read, and what was found on them.

page_image.py   a page's picture, drawn again from the very bytes that were read
document.py     a document with its pages, its values and where each stands
html.py         the same as one HTML file (show.html, show.css, show.js): nothing in it is fetched
picture.py      one page as a PNG with its boxes
"""

from pipeline.shown.page_image import PageImages, page_png

__all__ = ["PageImages", "page_png"]
