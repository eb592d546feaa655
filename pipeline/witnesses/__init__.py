"""Who else says what stands on a document: its codes, its machine-readable zone, its other parts.

witness.py    what a witness is
claims.py     a witness that has claims, by path
codes.py      QR codes
mrz.py        a field whose value says what other fields are
readings.py   XML beside print, or print beside XML
text.py       the text that a PDF brings along
slips.py      what is a misreading of what
layer.py      such text, made for looking values up
asking.py     all of them, asked about every value
settling.py   which of two readings of the print stands
proving.py    whether checks hold with another value
authority.py  whose value is chosen
placing.py    where values stand, by those who know it exactly
"""

from pipeline.witnesses.asking import Answers as Answers
from pipeline.witnesses.asking import ask as ask
from pipeline.witnesses.authority import first as first
from pipeline.witnesses.authority import judged as judged
from pipeline.witnesses.placing import placed as placed
from pipeline.witnesses.settling import settled as settled
from pipeline.witnesses.witness import Subject as Subject
from pipeline.witnesses.witness import Witness as Witness
