"""The e-invoice's XML, which the law calls the original: read exactly, without the model.

    tree.py       an XML document as names and texts, as the decoding child tells it
    lexical.py    how XML writes numbers, dates and yes or no
    reading.py    a schema's fields out of the tree
    signature.py  whether it is what was signed, by whom and when
    anchors.py    the issuers of signatures whom a user trusts
    trusted.py    those that the settings name
    judged.py     what the verdict means for a document
    canonical.py  what signatures are made over

It is parsed in the child (`pipeline.sandbox.xmlfile`). Its parts are imported one by one: the child must stay
quick to start.
"""
