"""What may be wrong with a page although it was drawn. A flag is a failed check; a person looks.

This module is imported by the child that draws: it must stay quick to import.
"""

from __future__ import annotations

from enum import StrEnum

MOST_FLAGS = 32  # of one page; what is wrong with it in more ways is wrong in these already


class FlagCode(StrEnum):
    """The code in `checks.code`."""

    picture_damaged = "picture_damaged"  # a picture could not be decoded, or only its beginning
    pictures_not_read = "pictures_not_read"  # an animation, or further pictures beside the first one
    colours_coarse = "colours_coarse"  # most of what tells colours apart is lost
    content_cut = "content_cut"  # what is drawn ends before its end
    letters_missing = "letters_missing"  # of a font that is neither embedded nor has a substitute with them
    letters_unknown = "letters_unknown"  # of a font that does not say which letters its codes are
    field_not_drawn = "field_not_drawn"  # the value of a form's field, or letters of it
    annotation_not_drawn = "annotation_not_drawn"
    placeholder = (
        "placeholder"  # the page stands for something that is elsewhere: a dynamic form, a portfolio
    )
    attachment_not_read = "attachment_not_read"  # a document within the document
    size_missing = "size_missing"  # the page has no size of its own
    page_blank = "page_blank"  # nothing is on it; a remark, unless a value was read from it all the same
    blank_unconfirmed = "blank_unconfirmed"  # one renderer shows nothing, and the other one gave up
    renderer_complained = "renderer_complained"
    several_documents = "several_documents"  # in one file; one of them was read
    several_values = "several_values"  # of one field, in XML
    version_unknown = "version_unknown"  # of an e-invoice's layout
    words_doubtful = "words_doubtful"  # words of a free answer that are likelier wrong than right
    form_not_kept = "form_not_kept"  # values of a server's answer are not as the schema has them printed
    not_inspected = "not_inspected"  # too damaged to tell what may be missing
