"""How far what was read can be trusted: one calibrated number for a value, and one for a document.

features.values(extraction)          what is known of each value, a few numbers
fitting.fitted(examples, …)          a Calibration, with what was measured on documents held out
Promise.of(calibration, 0.99)        from which score on documents pass
scored(extraction, InForce(…))       the document with its scores, and the state that they come to
"""

from pipeline.trust.calibration import Calibration
from pipeline.trust.promise import Promise
from pipeline.trust.scoring import InForce, scored

__all__ = ["Calibration", "InForce", "Promise", "scored"]
