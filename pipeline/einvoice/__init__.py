"""The e-invoice's XML, which the law calls the original: read exactly, without the model.

    signature.py  whether it is what was signed, by whom and when
    anchors.py    the issuers of signatures whom a user trusts
    canonical.py  what signatures are made over

This package's parts are imported one by one: the decoding child must stay quick to start.
"""
