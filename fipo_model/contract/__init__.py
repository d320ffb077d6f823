"""What a text commits its reader to, and which of that another text lost or invented. Pure.

`commitments(text)` lists them by kind; the modules hold one kind each, and `fidelity` the rules on top.
"""

from fipo_model.contract.commitments import Commitment, Kind
from fipo_model.contract.listing import commitments, unchecked

__all__ = ["Commitment", "Kind", "commitments", "unchecked"]
