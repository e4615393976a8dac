"""Daily papers that run: find a paper, read it, run its claims here, reuse its method."""

__version__ = "0.1.0"
