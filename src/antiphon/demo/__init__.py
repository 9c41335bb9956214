"""`antiphon demo`: a spoken conversation with a server of its own, and a judgement of whether it worked."""
