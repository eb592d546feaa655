"""What a person looks at: a document's pages as they were read.

page_image.py   a page's picture, drawn again from the very bytes that were read
"""

from pipeline.shown.page_image import PageImages, page_png

__all__ = ["PageImages", "page_png"]
