"""First on ``PYTHONPATH`` of the commands that tests start: they run as a user has them, without what only the tests install.

transformers is an extra. Where it is there, torchmetrics loads it, and every command starts seconds later.
"""

import sys
from importlib.machinery import PathFinder

HIDDEN = {"transformers"}


class AsInstalled(PathFinder):
    """Python's own finder, without ``HIDDEN``."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in HIDDEN else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **options):
        return (found for found in super().find_distributions(*arguments, **options) if found.name not in HIDDEN)


sys.meta_path[sys.meta_path.index(PathFinder)] = AsInstalled
