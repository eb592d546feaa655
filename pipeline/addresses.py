"""Where `vinbatch review` serves unless told otherwise; workbooks link to it."""

from __future__ import annotations

REVIEW_PORT = 8760
REVIEW_URL = f"http://127.0.0.1:{REVIEW_PORT}"
